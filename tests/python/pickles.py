"""Frames as Python senders make them, and what must come of each.

The one argument is the present time in whole seconds. Prints one JSON object a
line: "case", "pickle" (hexadecimal), "series" (each metric's records as
msgpack packs them, hexadecimal), "dropped" (points refused, by reason).
"""

import json
import pickle
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
]
TEXTS = ["0", "12", "007", "300", "1.5", "-5", "+7", "1e3", "-0.25", "1E-7", "4294967296"]
TIMES = [NOW, float(NOW), NOW + 0.25, str(NOW), str(NOW) + ".5", NOW + 2**33]


def number(given):
    """What a numeric text stands for: only digits is an int, else a float."""
    if isinstance(given, str):
        return int(given) if given.isdigit() else float(given)
    return given


def record(timestamp, value):
    return msgpack.packb((number(timestamp), number(value)), use_bin_type=False)


def show(case, body, points, dropped=None):
    series = {}
    for name, (timestamp, value) in points:
        series[name] = series.get(name, b"") + record(timestamp, value)
    print(json.dumps({
        "case": case,
        "pickle": body.hex(),
        "series": {name: records.hex() for name, records in series.items()},
        "dropped": dropped or {},
    }))


class Pure:
    """The pickler written in Python, with pickle's interface."""

    @staticmethod
    def dumps(payload, protocol):
        import io
        out = io.BytesIO()
        pickle._Pickler(out, protocol).dump(payload)
        return out.getvalue()


SHAPES = {
    "list_of_tuples": lambda points: [(n, (t, v)) for n, (t, v) in points],
    "list_of_lists": lambda points: [[n, [t, v]] for n, (t, v) in points],
    "tuple_of_tuples": lambda points: tuple((n, (t, v)) for n, (t, v) in points),
    "tuple_of_mixed": lambda points: tuple([n, (t, v)] for n, (t, v) in points),
}

for protocol in range(6):
    for pickler_name, pickler in (("c", pickle), ("pure", Pure)):
        for shape_name, shape in SHAPES.items():
            prefix = "p%d.%s.%s" % (protocol, pickler_name, shape_name)
            points = [("%s.value%d" % (prefix, at), (NOW, value))
                      for at, value in enumerate(NUMBERS + TEXTS)]
            points += [("%s.time%d" % (prefix, at), (time, 1.5))
                       for at, time in enumerate(TIMES)]
            show(prefix, pickler.dumps(shape(points), protocol), points)

        prefix = "p%d.%s" % (protocol, pickler_name)

        def dump(payload):
            return pickler.dumps(payload, protocol)

        # One item is appended without a mark.
        one = [(prefix + ".one", (float(NOW), 1.0))]
        show(prefix + ".one", dump(one), one)
        show(prefix + ".none", dump([]), [])

        # Memo indexes above 255, and items in several groups.
        many = [(prefix + ".many%d" % at, (float(NOW), float(at))) for at in range(2500)]
        show(prefix + ".many", dump(many), many)

        # The same objects again and again: a name, a pair, a whole item.
        name = prefix + ".same_name"
        again = [(name, (NOW, at)) for at in range(600)]
        show(prefix + ".same_name", dump(again), again)
        pair = (NOW, 2.5)
        again = [(prefix + ".same_pair%d" % (at % 7), pair) for at in range(600)]
        show(prefix + ".same_pair", dump(again), again)
        item = (prefix + ".same_item", (NOW, 3))
        show(prefix + ".same_item", dump([item] * 300), [item] * 300)

        # Names of every width of a length, and beyond ASCII.
        names = [prefix + suffix for suffix in (
            ".\u00e9.\u4e2d\u6587.\U0001f600", ".tab-free name with spaces", "." + "x" * 300,
            ".quote'\"\\back", ".a;tag=b", ".lone\u00ad")]
        wide = [(name, (NOW, 1)) for name in names]
        show(prefix + ".names", dump(wide), wide)

        if protocol >= 3:
            texts = [prefix + ".bytes", prefix + ".bytes." + "y" * 300]
            show(prefix + ".bytes", dump([(n.encode(), (NOW, 1)) for n in texts]),
                 [(n, (NOW, 1)) for n in texts])

        # One bad item loses that item alone.
        bad = [
            ("too_old", ("%s.old" % prefix, (NOW - 5000, 1))),
            ("too_old", ("%s.old" % prefix, (-1, 1))),
            ("not_numeric", ("%s.none" % prefix, (NOW, None))),
            ("not_numeric", ("%s.none" % prefix, (None, 1))),
            ("not_numeric", ("%s.text" % prefix, (NOW, "twelve"))),
            ("not_numeric", ("%s.empty" % prefix, (NOW, ""))),
            ("not_numeric", ("%s.list" % prefix, (NOW, [1]))),
            ("not_finite", ("%s.nan" % prefix, (NOW, float("nan")))),
            ("not_finite", ("%s.inf" % prefix, (NOW, float("inf")))),
            ("not_finite", ("%s.inf" % prefix, (float("-inf"), 1))),
            ("out_of_range", ("%s.wide" % prefix, (NOW, 2**64))),
            ("out_of_range", ("%s.wide" % prefix, (NOW, -2**63 - 1))),
            ("bad_shape", ("%s.bare" % prefix, 7)),
            ("bad_shape", ("%s.alone" % prefix,)),
            ("bad_shape", ("%s.short" % prefix, (NOW,))),
            ("bad_shape", ("%s.long" % prefix, (NOW, 1, 2))),
            ("bad_shape", 7),
            ("bad_shape", None),
            ("bad_shape", "ab"),
            ("bad_shape", (7, (NOW, 1))),
            ("name_invalid", ("", (NOW, 1))),
            ("name_invalid", ("%s.\0" % prefix, (NOW, 1))),
            ("name_invalid", ("%s.\n" % prefix, (NOW, 1))),
            ("name_invalid", ("%s.\u0085" % prefix, (NOW, 1))),
            ("name_invalid", ("%s.\u2028" % prefix, (NOW, 1))),
            ("name_invalid", ("%s.\u202e" % prefix, (NOW, 1))),
            ("name_invalid", ("%s.\u2066" % prefix, (NOW, 1))),
            ("name_too_long", (prefix + "z" * 5000, (NOW, 1))),
            ("name_too_long", (prefix + "z" * 102400, (NOW, 1))),
        ]
        good = [("%s.good%d" % (prefix, at), (float(NOW), float(at))) for at in range(len(bad))]
        mixed = [item for pair in zip((item for _, item in bad), good) for item in pair]
        dropped = {}
        for reason, _ in bad:
            dropped[reason] = dropped.get(reason, 0) + 1
        show(prefix + ".bad_items", dump(mixed), good, dropped)


# Senders that make their pickles by hand, or that run on Python 2.
def text(value):
    return str(value).encode()


def short(name):
    return b"U" + bytes([len(name)]) + name


def time_int():
    return b"J" + struct.pack("<i", NOW)


def double(value):
    return b"G" + struct.pack(">d", value)


name = "hand.statsd"
show(name, b"(l(S'" + name.encode() + b"'\n(L" + text(NOW) + b"L\nS'1.5'\ntta.",
     [(name, (NOW, 1.5))])
show(name + ".two",
     b"(l(S'hand.statsd.a'\n(L" + text(NOW) + b"L\nS'3'\ntta(S'hand.statsd.b'\n(L"
     + text(NOW) + b"L\nS'-4.5'\ntta.",
     [("hand.statsd.a", (NOW, 3)), ("hand.statsd.b", (NOW, -4.5))])

name = "hand.brubeck"
show(name, b"]q\x00(" + b"(" + short(name.encode()) + b"q\x01(" + time_int() + double(2.0)
     + b"tq\x02tq\x03" + b"e.", [(name, (NOW, 2.0))])

# Its memo index is one byte and wraps.
points, body, index = [], b"]q\x00(", 1
for at in range(200):
    name = "hand.brubeck.wrap%d" % at
    body += b"(" + short(name.encode()) + b"q" + bytes([index % 256]) + b"("
    body += time_int() + double(at) + b"tq" + bytes([(index + 1) % 256])
    body += b"tq" + bytes([(index + 2) % 256])
    index += 3
    points.append((name, (NOW, float(at))))
show("hand.brubeck.wrap", body + b"e.", points)

name = "hand.carbon-relay-ng"
show(name, b"\x80\x02(" + short(name.encode()) + time_int() + double(1.5) + b"\x86\x86l.",
     [(name, (NOW, 1.5))])
late = 2**31 + 10
show(name + ".late", b"\x80\x02(" + short(name.encode()) + b"I" + text(late) + b"\n"
     + double(1.5) + b"\x86\x86l.", [(name, (late, 1.5))])

name = "hand.graphite-pickle"
show(name, b"\x80\x02](" + b"](" + short(name.encode()) + b"](" + time_int() + double(8.0)
     + b"eee.", [(name, (NOW, 8.0))])

# cPickle of Python 2, protocol -1: the memo starts at 1.
name = "hand.python2"
show(name, b"\x80\x02]q\x01" + short(name.encode()) + b"q\x02" + double(float(NOW)) + double(1.5)
     + b"\x86q\x03\x86q\x04a.", [(name, (float(NOW), 1.5))])
long_name = "hand.python2." + "n" * 300
show(name + ".long", b"\x80\x02]q\x01T" + struct.pack("<I", len(long_name)) + long_name.encode()
     + b"q\x02" + double(float(NOW)) + double(1.5) + b"\x86q\x03\x86q\x04a.",
     [(long_name, (float(NOW), 1.5))])
show(name + ".reuse", b"\x80\x02]q\x01(" + short(name.encode()) + b"q\x02"
     + time_int() + double(1.5) + b"\x86q\x03\x86q\x04h\x02"
     + b"J" + struct.pack("<i", NOW + 60) + b"K\x02\x86q\x05\x86q\x06e.",
     [(name, (NOW, 1.5)), (name, (NOW + 60, 2))])

# Diamond on Python 2: protocol 0.
name = "hand.diamond"
show(name, b"(lp1\n(S'" + name.encode() + b"'\np2\n(I" + text(NOW) + b"\nF1.5\ntp3\ntp4\na.",
     [(name, (NOW, 1.5))])

# UTF-8 in a text of Python 2.
name = "hand.python2.\u00e9"
show(name, b"\x80\x02]" + short(name.encode()) + time_int() + double(1.0) + b"\x86\x86a.",
     [(name, (NOW, 1.0))])

# carbon's example client: protocol 1, and values that are texts.
name = "hand.example"
show(name, pickle.dumps([(name, (NOW, "%s" % 0.52))], 1), [(name, (NOW, 0.52))])

# Bytes after the end of the pickle are ignored, as Python ignores them.
name = "hand.trailing"
show(name, pickle.dumps([(name, (NOW, 1))], 2) + b"cos\nsystem\n(S'x'\ntR.garbage\xff\x00",
     [(name, (NOW, 1))])
