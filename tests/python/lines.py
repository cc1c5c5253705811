"""What Redis must hold of Graphite lines.

Reads lines of "name value timestamp" and prints one JSON object: each name
with its records, packed by msgpack one behind the other, as hexadecimal text.
Fields of digits only are integers, others floats.
"""

import json
import sys

import msgpack


def number(text):
    return int(text) if text.isdigit() and int(text) < 2**64 else float(text)


series = {}
for line in sys.stdin:
    name, value, timestamp = line.split()
    record = msgpack.packb((number(timestamp), number(value)), use_bin_type=False)
    series[name] = series.get(name, b"") + record
print(json.dumps({name: records.hex() for name, records in series.items()}))
