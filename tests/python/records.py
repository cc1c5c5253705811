"""What Skyline's Python Horizon stores of plain lines that came through carbon.

Reads lines of "name value timestamp" and prints one JSON object: each name
with its records, packed by msgpack one behind the other, as hexadecimal text.
Carbon's line receiver makes floats of both fields.
"""

import json
import sys

import msgpack

series = {}
for line in sys.stdin:
    name, value, timestamp = line.split()
    record = msgpack.packb((float(timestamp), float(value)), use_bin_type=False)
    series[name] = series.get(name, b"") + record
print(json.dumps({name: records.hex() for name, records in series.items()}))
