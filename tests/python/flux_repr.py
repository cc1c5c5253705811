"""Reads texts of JSON, one JSON string a line; prints what Python's repr shows of each."""

import json
import sys

for line in sys.stdin:
    print(json.dumps(repr(json.loads(json.loads(line)))))
