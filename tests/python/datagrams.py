"""Datagrams as Python senders make them, and what must come of each.

The one argument is the present time in whole seconds. Prints one JSON object a
line: "case", "datagram" (hexadecimal), "series" (each metric's records as
msgpack packs them, hexadecimal), "dropped" (points refused, by reason), and
"bad" (why the datagram is refused as a whole, or nothing).
"""

import json
import struct
import sys

import msgpack

NOW = int(sys.argv[1])

NUMBERS = [
    0, 1, 127, 128, 255, 256, 300, 65535, 65536, 70000, 2**31 - 1, 2**31,
    2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1,
    -1, -32, -33, -128, -129, -255, -256, -32768, -32769, -2**31, -2**31 - 1, -2**63,
    0.0, -0.0, 1.5, -2.25, 1e308, 5e-324, 0.1, 1795302404.123456,
    True, False,
    "0", "12", "007", "300", "1.5", "-5", "+7", "1e3", "-0.25", "1E-7", "4294967296",
    b"12", b"1.5", "18446744073709551616", " 12\n",
]
TIMES = [NOW, float(NOW), NOW + 0.25, str(NOW), str(NOW) + ".5", str(NOW).encode(), NOW + 2**33]
# What is no number, and the reason.
OTHERS = [
    (None, "not_numeric"), ([], "not_numeric"), ([1, [2]], "not_numeric"), ({"a": 1}, "not_numeric"),
    ("abc", "not_numeric"), ("", "not_numeric"), ("1_0", "not_numeric"), ("9" * 129, "not_numeric"),
    (msgpack.Timestamp(NOW, 5), "not_numeric"), (msgpack.ExtType(3, b"eee"), "not_numeric"),
    (float("inf"), "not_finite"), (float("nan"), "not_finite"), ("-inf", "not_finite"),
]

seen = 0


def number(given):
    """What a numeric text stands for: only digits is an int, else a float."""
    if isinstance(given, bytes):
        given = given.decode()
    if isinstance(given, str):
        given = given.strip()
        return int(given) if given.isdigit() and int(given) < 2**64 else float(given)
    return given


def record(timestamp, value):
    return msgpack.packb((number(timestamp), number(value)), use_bin_type=False)


def show(datagram, name=None, records=b"", dropped=None, bad=None):
    print(json.dumps({
        "case": datagram[:80].hex(),
        "datagram": datagram.hex(),
        "series": {} if name is None else {name: records.hex()},
        "dropped": {} if dropped is None else {dropped: 1},
        "bad": bad,
    }))


def fresh():
    """A name of its own for each case."""
    global seen
    seen += 1
    return "case.%d" % seen


def good(timestamp, value, **options):
    name = fresh()
    datagram = msgpack.packb([name, [timestamp, value]], **options)
    show(datagram, name, record(timestamp, value))


def numbers():
    for value in NUMBERS:
        good(NOW, value)
        good(NOW, value, use_bin_type=False)
    for timestamp in TIMES:
        good(timestamp, 1.5)
    # A single float becomes the double that is equal to it.
    name = fresh()
    single = struct.unpack(">f", struct.pack(">f", 0.1))[0]
    show(msgpack.packb([name, [NOW, 0.1]], use_single_float=True), name, record(NOW, single))
    for value, reason in OTHERS:
        show(msgpack.packb([fresh(), [NOW, value]]), dropped=reason)
    for timestamp in (None, "abc", [NOW]):
        show(msgpack.packb([fresh(), [timestamp, 1]]), dropped="not_numeric")
    for timestamp in (NOW - 9000, float(NOW - 9000), -1, str(NOW - 9000)):
        show(msgpack.packb([fresh(), [timestamp, 1]]), dropped="too_old")


def names():
    tail = msgpack.packb([NOW, 7])
    for text in ("n" * 31, "n" * 32, "n" * 255, "n" * 256, "n" * 4000, "caf\u00e9.\u4e16", "a b", "a;k=v"):
        name = fresh() + "." + text
        raw = name.encode()
        heads = [msgpack.packb(name), msgpack.packb(raw), msgpack.packb(name, use_bin_type=False)]
        # Headers that are longer than they need to be.
        heads += [b"\xdb" + struct.pack(">I", len(raw)) + raw, b"\xc6" + struct.pack(">I", len(raw)) + raw]
        for at, head in enumerate(heads):
            array = [b"\x92", b"\xdc\x00\x02", b"\xdd\x00\x00\x00\x02"][at % 3]
            # The same metric each time: the expected series is one record longer.
            show(array + head + tail, name, record(NOW, 7))
    for name in (b"", b"\xff", b"a\xc3", b"\xed\xa0\x80", b"a\0b", b"a\nb", "\u202e.evil".encode(), "\x9b31m".encode()):
        show(msgpack.packb([name, [NOW, 1]]), dropped="name_invalid")
    show(msgpack.packb(["n" * 4097, [NOW, 1]]), dropped="name_too_long")
    # As long as a datagram can be.
    rest = len(msgpack.packb(["n" * 60000, [NOW, 1]])) - 60000
    show(msgpack.packb(["n" * (65507 - rest), [NOW, 1]]), dropped="name_too_long")


def bad():
    whole = msgpack.packb(["case.cut", [NOW, 1.5]])
    show(b"", bad="empty")
    for end in range(1, len(whole)):
        show(whole[:end], bad="truncated")
    for after in (b"\0", b"\xc1", whole):
        show(whole + after, bad="trailing_bytes")
    for payload in (
        1, None, "a", [], {}, ["a"], ["a", 1], ["a", []], ["a", [1]], ["a", [NOW, 1, 2]], ["a", NOW, 1],
        [1, [NOW, 1]], [None, [NOW, 1]], {"a": [NOW, 1]}, [["a", [NOW, 1]]], [["a", [NOW, 1]], ["b", [NOW, 1]]],
    ):
        show(msgpack.packb(payload), bad="shape")
    show(b"\xc1", bad="unknown_byte")
    show(b"\x92\xa1a\x92\x01\xc1", bad="unknown_byte")
    for claim in ("c6ffffffff", "dbffffffff", "ddffffffff", "dfffffffff", "c9ffffffff01"):
        show(b"\x92\xa1a\x92\x01" + bytes.fromhex(claim), bad="truncated")
    show(b"\x91" * 65507, bad="truncated")
    show(b"\x91" * 65506 + b"\xc0", bad="shape")
    show(b"\xdd\xff\xff\xff\xff" * 13101, bad="truncated")
    show(b"\0" * 65507, bad="trailing_bytes")
    show(b"case.line 1 %d\n" % NOW, bad="trailing_bytes")


# The very first datagram that the server sees is no good.
show(b"\xff\xfe\xfd", bad="trailing_bytes")
numbers()
names()
bad()
