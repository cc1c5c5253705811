"""Reads `hash text` and `key text` pairs as JSON lists; prints what Skyline's programs
read of them with ast.literal_eval."""

import json
import sys
from ast import literal_eval

for line in sys.stdin:
    print(json.dumps(literal_eval(json.loads(line))))
