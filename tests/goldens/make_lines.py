#!/usr/bin/env python3
"""Writes the lines and expectations that the line decoder is tested against.

Run by hand: python3 tests/goldens/make_lines.py
Writes tests/goldens/line/*.txt and expected.json. Numbers are printed, and read, by
Python; lines of three plain fields are also held against what carbon's receiver does.
"""

import json
import random
import re
import struct
from pathlib import Path

from meaning import Invalid, nothing_invalid, number

OUT = Path(__file__).parent / "line"
NOW = 1700000123
STAMP = 1710159360

expected = {"now": NOW}


def meaning(data):
    """The points of some lines, and how many of them are none, by reason."""
    points, invalid, count = [], nothing_invalid(), 0
    for line in data.split(b"\n"):
        if line.endswith(b"\r"):
            line = line[:-1]
        fields = [field for field in re.split(rb"[ \t]", line) if field]
        if not fields:
            continue
        count += 1
        try:
            if not 2 <= len(fields) <= 3:
                raise Invalid("shape")
            stamp = number(fields[2]) if len(fields) == 3 else None
            if stamp is None or float(fields[2]) == -1:
                stamp = number(NOW)
            value = number(fields[1])
        except Invalid as why:
            invalid[str(why)] += 1
        else:
            points.append([fields[0].hex(), stamp, value])
    return {"points": points, "invalid": invalid, "lines": count}


def carbon(line):
    """What carbon's MetricLineReceiver makes of a line."""
    metric, value, timestamp = line.decode("utf-8").strip().split()
    return metric, (float(timestamp), float(value))


def write(label, data):
    assert label not in expected, label
    (OUT / f"{label}.txt").write_bytes(data)
    expected[label] = meaning(data)


def points(label, pairs, end="\n"):
    """Lines of (timestamp, value) pairs, each already a text, which all are points."""
    lines = [f"m.{at} {value} {stamp}" for at, (stamp, value) in enumerate(pairs)]
    data = "".join(line + end for line in lines).encode()
    write(label, data)
    assert len(expected[label]["points"]) == len(lines)
    for line, (_, stamp, value) in zip(lines, expected[label]["points"]):
        _, theirs = carbon(line.encode())
        if theirs[0] == -1:
            theirs = (float(NOW), theirs[1])
        for mine, their in zip((stamp, value), theirs):
            kind, _, text = mine.partition(":")
            if kind == "f":
                assert text == struct.pack(">d", their).hex(), line
            else:
                assert float(int(text)) == their, line


def doubles(rng, n):
    """Doubles of all sizes, among them those whose texts are hard to round."""
    while n > 0:
        x = struct.unpack(">d", rng.randbytes(8))[0]
        if x == x and abs(x) != float("inf"):
            yield x
            n -= 1


def floats():
    rng = random.Random(20240311)
    special = [0.0, -0.0, 0.1, 1 / 3, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308]
    special += [1e22, 1e23, 9007199254740992.0, 9007199254740993.0, -1.5, 1e16, 123456789.123]
    special += list(doubles(rng, 600))
    points("floats", [(STAMP, str(x)) for x in special])
    points("floats_plain", [(STAMP, f"{x:f}") for x in special if abs(x) < 1e60])
    points("floats_long", [(STAMP, f"{x:.40e}") for x in special])
    short = [(f"{rng.randrange(10**10)}", rng.randrange(12)) for _ in range(600)]
    points("decimals", [(STAMP, f"{n}.{rng.randrange(10**k):0{k}}" if k else n) for n, k in short])
    points("stamps", [(f"{STAMP + rng.random()!r}", 1) for _ in range(100)] + [(f"{STAMP}.0", 1)])


def numbers():
    texts = [
        "0", "1", "-1", "+1", "007", "-0", "+0", "5.", ".5", "-.5", "+5.5", "1e3", "1E-3", "1e+3", "-1.0",
        "-1e0", "nan", "-nan", "NaN", "inf", "-inf", "Infinity", "+INFINITY", "9223372036854775807",
        "9223372036854775808", "18446744073709551615", "18446744073709551616", "9999999999999999999",
        "10000000000000000000", "-9223372036854775809", "9007199254740993", "9007199254740993.0",
        "-9007199254740993", "0.000000000000000001", ".0000000000000000001", "1e400", "1e-400", "1" * 128,
        "1." + "0" * 126, "\x0c1", "1\r",
    ]
    pairs = [(STAMP, text) for text in texts] + [(text, 2) for text in texts]
    points("numbers", [pair for pair in pairs if "nan" not in "".join(map(str, pair)).lower()])
    wrong = [
        "x", "0x10", "1_000", "1,5", "1e", "e1", ".", "-", "+", "--1", "1.2.3", "1" * 129, "None", "True", "N",
        "\u0661", "1\u00a0", "infinit", "1f", "1L", "'1'", "1\0", "\0",
    ]
    lines = [f"a {text} {STAMP}\na 1 {text}\na {text}\n" for text in wrong + ["nan", "-NaN"]]
    write("not_numbers", "".join(lines).encode())


def senders():
    rng = random.Random(7)
    values = [rng.choice([rng.random(), rng.random() * 1e6, rng.randrange(10**6)]) for _ in range(200)]

    # carbon-relay and carbon-aggregator, with `DESTINATION_PROTOCOL = line`.
    def carbons(value):
        if isinstance(value, float):
            return ("%.10f" % value).rstrip("0").rstrip(".")
        return "%d" % value

    points("sender_carbon", [("%d" % (STAMP + at), carbons(v)) for at, v in enumerate(values)], "\r\n")
    # collectd's write_graphite, and statsd, which both print as C and JavaScript do.
    points("sender_collectd", [(STAMP, "%.15g" % value) for value in values], "\r\n")
    points("sender_statsd", [(STAMP, repr(value)) for value in values])


def shapes():
    good = b"a.b 1.5 1710159360"
    write("end_missing", good + b"\n" + good)
    write("end_return_only", good + b"\r")
    write("ends", b"\n\r\n" + good + b"\r\n\n\n" + good + b"\n\r\r\n\r\n")
    write("blanks", b" \t\n\t a.b\t\t1.5  1710159360 \t\r\n \r\na 1\t\n  \ta 1 -1 \n")
    write("fields", b"a\na 1\na 1 2\na 1 2 3\na 1 2 3 4\n a\na \n\t\na\t1\t2\t3\n")
    write("stamps_of_now", b"a 1 -1\na 1 -1.0\na 1 -1e0\na 1 -01\na 1 -1.\na 1 -1.5\na 1 1\na 1 -\n")
    tags = b"disk.used;host=web-1;mount=/var/log 71 1710159360\n;=;= 1 2\n"
    write("names", tags + "\u00e9.\u4e16 1 2\n".encode() + b"\xff\xfe 1 2\na\0b 1 2\na\x0bb 1 2\na\rb 1 2\n")
    write("name_long", b"n" * 5000 + b" 1 2\n")
    write("empty", b"")
    write("newlines", b"\n" * 100)


def chance():
    """Lines of odd pieces, and good lines with a byte changed."""
    rng = random.Random(42)
    pieces = [
        b" ", b" ", b"\t", b"\n", b"\n", b"\r\n", b"\r", b"a.b", b"name;k=v", b"1", b"-1", b"2.5", b"1e3", b"x", b"nan0",
        b".", b"-", b"\0", b"\xff", b"1710159360", b"123456789012345678901234567890",
    ]
    data = b"".join(rng.choice(pieces) for _ in range(4000))
    write("random_pieces", data)
    damaged = bytearray(b"".join(b"m.%d %d.%d %d\r\n" % (at, at, at, STAMP + at) for at in range(500)))
    for _ in range(500):
        damaged[rng.randrange(len(damaged))] = rng.choice(b" \t\r\n.-+0123456789eEx\0\xff")
    write("random_damage", bytes(damaged))


def main():
    OUT.mkdir(exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    for make in (floats, numbers, senders, shapes, chance):
        make()
    lines = (f"{json.dumps(label)}: {json.dumps(means)}" for label, means in expected.items())
    (OUT / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


main()
