"""Reads JSON strings, one a line, and prints as JSON what Python's literal_eval makes of
each."""

import ast
import json
import sys

for line in sys.stdin:
    print(json.dumps(ast.literal_eval(json.loads(line))))
