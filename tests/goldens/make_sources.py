"""Writes sources.jsonl: answers of Debian's graphite-web and Prometheus, byte for byte, and
what this script reads in them. Both servers are started here, over points of the past.

    /usr/bin/python3 tests/goldens/make_sources.py > tests/goldens/sources.jsonl
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import whisper

SETTINGS = """
from graphite.settings import *
SECRET_KEY = "of a test"
ALLOWED_HOSTS = ["*"]
STORAGE_DIR = LOG_DIR = "{here}"
INDEX_FILE = "{here}/index"
WHISPER_DIR = "{here}/files"
DATA_DIRS = STANDARD_DIRS = [WHISPER_DIR]
CARBONLINK_HOSTS = CLUSTER_SERVERS = []
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}}
CACHES = {{"default": {{"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}}}
LOG_FILE_INFO = LOG_FILE_EXCEPTION = LOG_FILE_CACHE = LOG_FILE_RENDERING = "-"
"""
VALUES = [1.5, None, math.inf, -math.inf, 1e22, 1e-7, -0.0, 1.2345678901234568e17, 7, math.nan]

here = tempfile.mkdtemp(prefix="skyring-sources-")
now = int(time.time()) // 60 * 60
start = now - 600


def write(name, values):
    path = "%s/files/%s.wsp" % (here, name.replace(".", "/"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    whisper.create(path, [(60, 30), (600, 100)], xFilesFactor=0)
    points = [(start + at * 60, value) for at, value in enumerate(values) if value is not None]
    whisper.update_many(path, points)


write("a.b", VALUES)
write("a.c", range(10))
write("nothing.there", [None])
with open(here + "/graphite_of_a_test.py", "w") as file:
    file.write(SETTINGS.format(here=here))
lines = ["# TYPE past gauge"]
for label in "xy":
    for at, value in enumerate(VALUES):
        if value is not None:
            text = {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, repr(value))
            lines.append('past{a="%s"} %s %d.%03d' % (label, text.replace("nan", "NaN"), start + at * 60, at))
with open(here + "/samples", "w") as file:
    file.write("\n".join(lines) + "\n# EOF\n")
with open(here + "/prometheus.yml", "w"):
    pass
os.chdir(here)
subprocess.run(
    ["promtool", "tsdb", "create-blocks-from", "openmetrics", "samples", "data"],
    check=True,
    stdout=sys.stderr,
)
sys.stderr.flush()
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def free_port():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


ports = {"graphite": free_port(), "prometheus": free_port()}
servers = [
    subprocess.Popen(
        ["gunicorn", "--bind", "127.0.0.1:%d" % ports["graphite"], "django.core.wsgi:get_wsgi_application()"],
        env=dict(os.environ, PYTHONPATH=here, DJANGO_SETTINGS_MODULE="graphite_of_a_test"),
        **quiet
    ),
    subprocess.Popen(
        [
            "prometheus",
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:%d" % ports["prometheus"],
        ],
        **quiet
    ),
]


def get(source, path):
    url = "http://127.0.0.1:%d%s" % (ports[source], path)
    while True:
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            if error.code != 503:
                return error.code, error.read()
        except urllib.error.URLError:
            pass
        time.sleep(0.1)


def read(source, body):
    """The series of an answer: name, finite points in order, and what was left out."""
    answer = json.loads(body)
    if source == "graphite":
        rows = [(row["target"], [(t, v) for v, t in row["datapoints"]]) for row in answer]
    elif answer["status"] == "success" and answer["data"]["resultType"] == "matrix":
        rows = [
            (row["metric"], [(math.floor(t), float(v)) for t, v in row["values"]])
            for row in answer["data"]["result"]
        ]
    else:
        return None
    series = []
    for name, points in rows:
        series.append(
            {
                "name": name,
                "samples": [[t, v] for t, v in points if v is not None and math.isfinite(v)],
                "nulls": sum(v is None for _, v in points),
                "not_finite": sum(v is not None and not math.isfinite(v) for _, v in points),
            }
        )
    return series


render = "/render/?from=%d&until=%d&format=json" % (start - 1, now)
query = "/api/v1/query?time=%d&query=" % now
steps = "/api/v1/query_range?start=%d&end=%d&step=60s&query=" % (start, now)
quote = urllib.parse.quote
cases = [
    ("graphite", "points of every kind", render + "&target=a.b"),
    ("graphite", "a pattern", render + "&target=a.*"),
    ("graphite", "no such metric", render + "&target=no.such"),
    ("graphite", "nulls only", render + "&target=nothing.there"),
    ("graphite", "labels", render + "&target=alias(a.b,'t0')&target=alias(no,'t1')&target=alias(a.c,'t2')"),
    ("graphite", "a function", render + "&target=" + quote("sumSeries(a.b, a.c)")),
    ("graphite", "a coarse archive", render.replace("from=%d" % (start - 1), "from=-6hours") + "&target=a.c"),
    ("graphite", "no such function", render + "&target=noSuch(a.b)"),
    ("graphite", "wrong arguments", render + "&target=scale(a.b)"),
    ("prometheus", "samples of every kind", query + quote('past{a="x"}[20m]')),
    ("prometheus", "several series", query + quote("past[20m]")),
    ("prometheus", "no such series", query + quote("no_such[20m]")),
    ("prometheus", "steps", steps + quote('past{a="y"}')),
    ("prometheus", "steps of a number", steps + "1"),
    ("prometheus", "a vector", query + quote('past{a="x"}')),
    ("prometheus", "a scalar", query + "1"),
    ("prometheus", "a string", query + quote('"a"')),
    ("prometheus", "bad query", query + quote("sum(")),
    ("prometheus", "too many steps", steps.replace("start=%d" % start, "start=1") + "1"),
]
try:
    for source, name, path in cases:
        status, body = get(source, path)
        case = {"source": source, "case": name, "status": status, "body": body.decode()}
        if status == 200:
            case["series"] = read(source, body)
        print(json.dumps(case))
finally:
    for server in servers:
        server.kill()
    shutil.rmtree(here, ignore_errors=True)
