"""The datagram and the record of each line of "name timestamp value", as Python's
msgpack packs them, in hexadecimal."""

import json
import sys

import msgpack

for line in sys.stdin:
    name, timestamp, value = line.split()
    point = (float(timestamp), float(value))
    print(json.dumps({
        "datagram": msgpack.packb([name, point]).hex(),
        "record": msgpack.packb(point, use_bin_type=False).hex(),
    }))
