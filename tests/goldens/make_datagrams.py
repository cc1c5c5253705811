#!/usr/bin/env python3
"""Writes the datagrams and expectations that the datagram decoder is tested against.

Run by hand: python3 tests/goldens/make_datagrams.py (needs Python's msgpack)
Writes tests/goldens/datagrams.json: each datagram in hexadecimal, and what it means,
which comes from Python's own unpacker.
"""

import json
import random
import struct
from pathlib import Path

import msgpack

from meaning import Invalid, name, number

OUT = Path(__file__).parent / "datagrams.json"
STAMP = 1710159360

goldens = {}


class Unsure(Exception):
    """Python refuses it for a reason of its own, such as a list as the key of a dict."""


def unpack(datagram):
    most = 1 << 20
    return msgpack.unpackb(
        datagram,
        raw=True,
        strict_map_key=False,
        max_str_len=most,
        max_bin_len=most,
        max_array_len=most,
        max_map_len=most,
        max_ext_len=most,
    )


def pair(x):
    # Extensions are tuples of two to Python.
    return type(x) is list and len(x) == 2


def meaning(datagram):
    if not datagram:
        return {"bad": "empty"}
    try:
        payload = unpack(datagram)
    except msgpack.ExtraData:
        return {"bad": "trailing_bytes"}
    except msgpack.FormatError:
        return {"bad": "unknown_byte"}
    except ValueError as why:
        if str(why) == "Unpack failed: incomplete input":
            return {"bad": "truncated"}
        raise Unsure from why
    except TypeError as why:
        raise Unsure from why
    if not (pair(payload) and name(payload[0]) is not None and pair(payload[1])):
        return {"bad": "shape"}
    try:
        stamp, value = number(payload[1][0]), number(payload[1][1])
    except Invalid as why:
        return {"invalid": str(why)}
    return {"point": [name(payload[0]).hex(), stamp, value]}


def write(label, datagram, means=None):
    assert label not in goldens, label
    goldens[label] = {"bytes": datagram.hex(), "means": meaning(datagram) if means is None else means}


def pack(payload, **options):
    return msgpack.packb(payload, **options)


def plain():
    write("plain", pack(["a.b", [STAMP, 1.5]]))
    write("tuple", pack(("a.b", (STAMP, 1.5))))
    write("old_spec", pack(["a.b", [STAMP, 1.5]], use_bin_type=False))
    write("single", pack(["a.b", [float(STAMP), 0.1]], use_single_float=True))
    write("test_utility", pack(["horizon.test.udp", [STAMP, 18500]]))
    write("test_utility_probe", pack(["horizon.test.params", 1]))


def names():
    for n in (0, 1, 31, 32, 255, 256):
        write(f"name_str_{n}", pack(["n" * n, [STAMP, 1]]))
        write(f"name_bin_{n}", pack([b"n" * n, [STAMP, 1]]))
        write(f"name_raw_{n}", pack(["n" * n, [STAMP, 1]], use_bin_type=False))
    for at, odd in enumerate(["\u00e9.\u4e16", "a\0b", "a b", b"\xff\xfe", "a\n"]):
        write(f"name_odd_{at}", pack([odd, [STAMP, 1]], use_bin_type=False))
    for at, other in enumerate([1, None, True, 1.5, [], ["a"], {}, {"a": 1}, msgpack.ExtType(5, b"a")]):
        write(f"name_other_{at}", pack([other, [STAMP, 1]]))
    # Headers that are longer than they need to be.
    rest = pack([STAMP, 1.5])
    for at, header in enumerate(["d903", "da0003", "db00000003", "c403", "c50003", "c600000003"]):
        write(f"name_header_{at}", b"\x92" + bytes.fromhex(header) + b"a.b" + rest)


def numbers():
    some = [
        0, 1, -1, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1,
        -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63), STAMP,
        0.0, -0.0, 0.1, 1 / 3, 1e300, 5e-324, float("inf"), float("-inf"), float(STAMP), True, False,
        None, [], [1], [1, 2], {}, {"a": 1}, [[[[]]]], {"a": {"b": [1, {"c": None}]}}, "x" * 200, b"y" * 300,
        list(range(20)), {n: n for n in range(20)},
        msgpack.ExtType(1, b""), msgpack.Timestamp(STAMP, 5), msgpack.Timestamp(2**40, 5),
        *(msgpack.ExtType(3, b"e" * n) for n in (1, 2, 3, 4, 8, 16, 17, 300)),
        "12", " 12\n", "1.5", "-3", "+4", "1e3", "nan0", "", "abc", "0x10", "1_0", "18446744073709551615",
        "18446744073709551616", "1" * 128, "9" * 129, b"12", b"1.5", b"\xff", "-inf",
    ]
    for at, n in enumerate(some):
        small = len(pack(n)) < 1000
        write(f"value_{at}", pack(["a.b", [STAMP, n]]))
        if small:
            write(f"stamp_{at}", pack(["a.b", [n, 2.5]]))
    for at, header in enumerate(["dd0000000101", "df000000010102", "c90000000105ff", "c8000105ff", "de00010102"]):
        write(f"other_header_{at}", b"\x92\xa1a\x92\x01" + bytes.fromhex(header))
    write("both_wrong", pack(["a.b", [None, "x"]]))
    for at, (code, form, n) in enumerate([
        (0xCC, ">B", 5), (0xCD, ">H", 5), (0xCE, ">I", 5), (0xCF, ">Q", 5), (0xCF, ">Q", 2**64 - 1),
        (0xD0, ">b", -5), (0xD1, ">h", -5), (0xD2, ">i", -5), (0xD3, ">q", -5), (0xD3, ">q", 5), (0xD0, ">b", 5),
        (0xCA, ">f", 1.5), (0xCA, ">f", 0.1), (0xCA, ">f", float("inf")), (0xCA, ">f", 1e-45), (0xCB, ">d", 0.1),
    ]):
        write(f"number_header_{at}", b"\x92\xa1a\x92\x01" + bytes([code]) + struct.pack(form, n))


def shapes():
    p = [STAMP, 1.5]
    some = [
        1, None, "a", b"a", 1.5, [], {}, ["a"], ["a", 1], ["a", None], ["a", []], ["a", [1]], ["a", [1, 2, 3]],
        ["a", p, p], ["a", STAMP, 1.5], [p, "a"], {"a": p}, ["a", {1: 2}], [["a", p]], [["a", p], ["b", p]], ["a", "bc"],
        ["a", msgpack.ExtType(1, b"ab")], [["a"], p],
    ]
    for at, payload in enumerate(some):
        write(f"shape_{at}", pack(payload))
    point = pack("a") + b"\x92\x01\x02"
    for at, header in enumerate([b"\xdc\x00\x02", b"\xdd\x00\x00\x00\x02", b"\xdc\x00\x03", b"\xdd\x00\x00\x01\x02"]):
        write(f"array_header_{at}", header + point)
        write(f"array_header_inner_{at}", b"\x92\xa1a" + header + b"\x01\x02")


def refused():
    good = pack(["a.b", [STAMP, 1.5]])
    write("refused_empty", b"")
    write("refused_trailing", good + b"\0")
    write("refused_trailing_twice", good + good)
    write("refused_trailing_fault", good + b"\xc1")
    write("refused_c1", b"\xc1")
    write("refused_c1_within", b"\x92\xa1a\x92\x01\xc1")
    write("refused_c1_in_shape", b"\x93\x01\xc1")
    write("refused_text", b"a.b 1.5 1710159360\n")
    write("refused_pickle", bytes.fromhex("80025d71005803000000612e622e"))
    # What Python refuses to make room for is cut off too: lengths are not believed.
    for at, header in enumerate(["c6ffffffff", "dbffffffff", "ddffffffff", "dfffffffff", "c9ffffffff01"]):
        write(f"refused_length_{at}", b"\x92\xa1a\x92\x01" + bytes.fromhex(header), {"bad": "truncated"})
        write(f"refused_length_alone_{at}", bytes.fromhex(header), {"bad": "truncated"})
    # Python gives up at a depth of 1024.
    deep = b"\x91" * 3000
    write("deep", b"\x92\xa1a\x92\x01" + deep + b"\xc0", {"invalid": "not_numeric"})
    write("deep_shape", deep + b"\xc0", {"bad": "shape"})
    write("deep_cut", deep, {"bad": "truncated"})


def random_value(rng, depth=0):
    pick = rng.randrange(12 if depth < 3 else 9)
    if pick < 3:
        return rng.choice([0, -1, STAMP, 2**63, -(2**63), rng.getrandbits(rng.randrange(1, 64))])
    if pick < 5:
        return rng.choice([0.5, float(STAMP), rng.random()])
    if pick < 7:
        return rng.choice(["a.b", "12", "-1.5", b"\xff", b"3", "x" * rng.randrange(40), ""])
    if pick < 9:
        return rng.choice([True, False, None, {}, [], msgpack.ExtType(7, b"z" * rng.randrange(20))])
    if pick == 9:
        return {rng.randrange(9): random_value(rng, depth + 1) for _ in range(rng.randrange(3))}
    return [random_value(rng, depth + 1) for _ in range(rng.choice([1, 2, 2, 2, 3]))]


def chance():
    """Random values, and points with bytes changed, cut out or put in."""
    rng = random.Random(20240311)
    for turn in range(300):
        options = {"use_bin_type": rng.random() < 0.7, "use_single_float": rng.random() < 0.2}
        leaf = lambda usual: usual if rng.random() < 0.8 else random_value(rng)
        payload = leaf(["m.%d" % turn, leaf([leaf(STAMP + turn), leaf(rng.random())])])
        write(f"random_{turn}", pack(payload, **options))
    turn = 0
    while turn < 400:
        datagram = bytearray(pack(["m.%d" % turn, [STAMP, random_value(rng)]]))
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(datagram))
            match rng.randrange(4):
                case 0:
                    del datagram[at]
                case 1:
                    datagram.insert(at, rng.randrange(256))
                case _:
                    datagram[at] = rng.choice([rng.randrange(256), rng.randrange(0x90, 0xE0)])
            if not datagram:
                break
        try:
            write(f"damaged_{turn}", bytes(datagram))
            turn += 1
        except Unsure:
            pass


def main():
    for make in (plain, names, numbers, shapes, refused, chance):
        make()
    lines = (f"{json.dumps(label)}: {json.dumps(golden)}" for label, golden in goldens.items())
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")


main()
