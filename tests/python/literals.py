"""Points as Skyline's programs leave them in Redis for carbon.

Reads JSON lists of name, timestamp and value, one a line, and prints for each
the text of a dict and that of a list, as a JSON list.
"""

import json
import sys

for line in sys.stdin:
    name, timestamp, value = json.loads(line)
    print(json.dumps([
        str({"metric": name, "value": float(value), "timestamp": int(timestamp)}),
        str([name, float(value), int(timestamp)]),
    ]))
