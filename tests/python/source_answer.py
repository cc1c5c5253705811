"""What a source itself answers for whole minutes, packed as Redis must hold it.

Standard input: {"graphite": url} or {"prometheus": url}, "target", and "from" and
"until", the first second that is wanted and the first that is not.
Prints {"points": [[time, value], ...], "records": hexadecimal}.
"""

import json
import math
import sys
import urllib.parse
import urllib.request

import msgpack

given = json.load(sys.stdin)


def ask(path, **parameters):
    url = path + "?" + urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def from_graphite():
    # Graphite's own "from" is left open.
    series = ask(
        given["graphite"] + "/render/",
        format="json",
        target=given["target"],
        **{"from": given["from"] - 1, "until": given["until"] - 1},
    )
    assert len(series) == 1, series
    return [(time, value) for value, time in series[0]["datapoints"] if value is not None]


def from_prometheus():
    result = ask(
        given["prometheus"] + "/api/v1/query_range",
        query=given["target"],
        start=given["from"],
        end=given["until"] - 60,
        step="60s",
    )["data"]["result"]
    assert len(result) == 1, result
    return [(time, float(value)) for time, value in result[0]["values"]]


points = from_graphite() if "graphite" in given else from_prometheus()
points = [
    (time, float(value))
    for time, value in points
    if math.isfinite(value) and given["from"] <= time < given["until"]
]
records = b"".join(msgpack.packb([time, value]) for time, value in points)
print(json.dumps({"points": points, "records": records.hex()}))
