"""Packs [[time, value], ...] as Redis must hold it; prints hexadecimal."""

import json
import sys

import msgpack

points = json.load(sys.stdin)
print(json.dumps(b"".join(msgpack.packb([time, value]) for time, value in points).hex()))
