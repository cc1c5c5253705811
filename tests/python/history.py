"""What a history must become: raw points, read here from the source itself, as the mean
of each minute, packed as Redis must hold them.

Standard input: {"graphite": file, "windows": [[from, until], ...]} for a file of Whisper's,
or {"prometheus": url, "selector": text, "windows": ...}; "after": time of the newest point
that is there already or null, "before": first second that is not wanted.
Prints {"points": [[time, value], ...], "records": hexadecimal}.
"""

import json
import math
import sys
import urllib.parse
import urllib.request

import msgpack

given = json.load(sys.stdin)


def from_file(start, end):
    import whisper

    # Whisper gives points later than its start, up to its end.
    fetched = whisper.fetch(given["graphite"], start - 1, end - 1)
    (first, _, step), values = fetched
    return [(first + at * step, value) for at, value in enumerate(values) if value is not None]


def from_prometheus(start, end):
    query = "%s[%ds]" % (given["selector"], end - start)
    parameters = urllib.parse.urlencode({"query": query, "time": end})
    with urllib.request.urlopen(given["prometheus"] + "/api/v1/query?" + parameters) as answer:
        result = json.load(answer)["data"]["result"]
    assert len(result) <= 1, result
    return [(time, float(value)) for series in result for time, value in series["values"]]


raw = from_file if "graphite" in given else from_prometheus
minutes = {}
for start, end in given["windows"]:
    for time, value in raw(start, end):
        if start <= time < end and time < given["before"] and math.isfinite(value):
            minutes.setdefault(int(time // 60) * 60, []).append(value)
after = given.get("after")
points = [
    (minute, sum(values) / len(values))
    for minute, values in sorted(minutes.items())
    if after is None or minute > after
]
records = b"".join(msgpack.packb([time, float(value)]) for time, value in points)
print(json.dumps({"points": points, "records": records.hex()}))
