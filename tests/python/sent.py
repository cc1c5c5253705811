"""What Skyline's libraries read of what was sent to them.

Reads lines of "form bytes", the bytes as hexadecimal text, and prints one JSON
text a line: Python's own spelling of the value, which tells 1 from 1.0. The form is
"msgpack", one datagram, or "pickle", a stream of frames with their lengths.
"""

import json
import pickle
import struct
import sys

import msgpack


def points_of_frames(stream):
    while stream:
        (length,) = struct.unpack("!L", stream[:4])
        yield pickle.loads(stream[4:4 + length])
        stream = stream[4 + length:]


for line in sys.stdin:
    form, text = line.split()
    data = bytes.fromhex(text)
    if form == "msgpack":
        value = msgpack.unpackb(data, use_list=False, raw=False)
    else:
        value = list(points_of_frames(data))
    print(json.dumps(repr(value)))
