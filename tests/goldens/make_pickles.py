#!/usr/bin/env python3
"""Writes the frames and expectations that the pickle decoder is tested against.

Run by hand: python3 tests/goldens/make_pickles.py
Writes tests/goldens/pickle/*.bin (one frame's payload each), random.frames (many, each
after its length as 4 bytes, big-endian) and expected.json. What a frame means comes from
Python's own unpickler, so nothing here is taken from the decoder under test.
"""

import io
import json
import pickle
import random
import struct
import sys
import warnings
from pathlib import Path

from meaning import Invalid, name, nothing_invalid, number, pair

OUT = Path(__file__).parent / "pickle"


class Plain(pickle.Unpickler):
    """Python's unpickler without its means to call anything."""

    def find_class(self, module, name):
        raise pickle.UnpicklingError("forbidden")

    def persistent_load(self, pid):
        raise pickle.UnpicklingError("forbidden")


def meaning(payload):
    """The points of a payload, and how many of its items are none, by reason."""
    points, invalid = [], nothing_invalid()
    for item in payload:
        if not (
            isinstance(item, (list, tuple))
            and len(item) >= 2
            and name(item[0]) is not None
            and pair(item[1])
        ):
            invalid["shape"] += 1
            continue
        for point in item[1:]:
            try:
                if not pair(point):
                    raise Invalid("shape")
                stamp, value = number(point[0]), number(point[1])
            except Invalid as why:
                invalid[str(why)] += 1
            else:
                points.append([name(item[0]).hex(), stamp, value])
    return {"points": points, "invalid": invalid}


def loads(frame):
    return Plain(io.BytesIO(frame), encoding="bytes").load()


def expect(frame):
    payload = loads(frame)
    if not isinstance(payload, (list, tuple)):
        return {"bad": "not_a_list"}
    return meaning(payload)


expected = {}


def write(label, frame, bad=None):
    assert label not in expected, label
    if bad is None:
        expected[label] = expect(frame)
    else:
        try:
            loads(frame)
        except Exception:
            pass
        else:
            raise AssertionError(f"{label}: Python takes it")
        expected[label] = {"bad": bad}
    (OUT / f"{label}.bin").write_bytes(frame)


def both(label, payload, protocols=range(6)):
    """One payload by both picklers in several protocols; equal frames are kept once."""
    for protocol in protocols:
        by_c = pickle.dumps(payload, protocol)
        by_python = pickle._dumps(payload, protocol)
        write(f"{label}_{protocol}", by_c)
        if by_python != by_c and len(by_c) < 10_000:
            write(f"{label}_{protocol}_python", by_python)


def text(n):
    """A text that no other object shares."""
    return "".join(["m.", str(n)])


PLAIN = [
    ("a.b", (1700000000, 1.5)),
    ("servers.web-1.load", (1700000060.5, 2)),
    ("carbon.agents.relay.cpu", (4102444800, -7)),
    ("x", (1700000000.0, 70000)),
]


def plain():
    both("plain", PLAIN)
    both("lists", [[n, list(p)] for n, p in PLAIN], [0, 2, 4])
    both("tuples", tuple(PLAIN), [0, 2, 4])
    both("mixed", [[PLAIN[0][0], PLAIN[0][1]], (PLAIN[1][0], list(PLAIN[1][1]))], [0, 1, 3])
    both("single", PLAIN[:1])
    both("empty_list", [], [0, 2, 4])
    both("empty_tuple", (), [0, 2])
    both("memo", [(text(n), (1700000000.0 + n, n / 4)) for n in range(120)], [0, 1, 2, 4])
    both("groups", [(text(n), (1700000000 + n, n / 4)) for n in range(1001)], [2, 4])
    both("groups", [(text(n), (1700000000 + n, 1)) for n in range(1003)], [5])


def shared():
    n, p = "shared.name", (1700000000, 0.25)
    item = (n, p)
    both("shared", [item, (n, (1700000001, 1)), ("b", p), item, [n, [1700000002, p[1]]], item])
    box = [n]
    box.append([1700000000, 5])
    both("shared_lists", [box, box, ["b", box[1]]], [0, 2, 4])
    both("shared_late", [("n%d" % i, p) for i in range(300)] + [("n7", p)], [2])


def kinds():
    numbers = [
        0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32, 2**40,
        2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**30, -(10**30), 2**2100,
        0.0, -0.0, 1e300, 5e-324, float("nan"), float("inf"), float("-inf"), 0.1, 1 / 3,
        True, False, None, [], {}, (), [1], (1, 2), {"a": 1, "b": [2]},
        "12", " 12\n", "1.5", "-3", "+4", "1e3", "1E-3", ".5", "5.", "nan", "-inf", "Infinity",
        "abc", "", " ", "-", "0x10", "1 2", "007", "18446744073709551615", "18446744073709551616",
        "9223372036854775808", "1" * 128, "9" * 129, "\u0661", "1\\",
    ]
    both("values", [(text(i), (1700000000, v)) for i, v in enumerate(numbers)])
    both("stamps", [(text(i), (t, 1.5)) for i, t in enumerate(numbers)])
    odd = [b"12", b"1.5", b"x", b"\xff", bytearray(b"3"), {1, 2}, frozenset([3]), set()]
    both("late_values", [(text(i), (1700000000, v)) for i, v in enumerate(odd[:4])], [3])
    both("late_values", [(text(i), (1700000000, v)) for i, v in enumerate(odd[:4] + odd[5:])], [4])
    both("late_values", [(text(i), (1700000000, v)) for i, v in enumerate(odd)], [5])


def names():
    point = (1700000000, 1)
    odd = [
        "", "\u00fc\u00e9", "\u0442\u0435\u0441\u0442", "\U0001f600", "a\\b", "a\\u0041", "a\nb",
        "a\rb", "a\0b", "'quoted'", '"', "\x1a", "\x7f\x80\xff", "a" * 255, "a" * 256, "\u00e9" * 200,
    ]
    both("names", [(n, point) for n in odd])
    both("names_surrogate", [("\ud800x", point), ("good", point)], [1, 2, 3, 4, 5])
    both("names_bytes", [(b"a.b", point), (b"\xff\xfe", point), (b"c" * 300, point)], [3, 4, 5])
    both("names_bytearray", [(bytearray(b"a.b"), point)], [5])
    both("names_other", [(1, point), (None, point), ([], point), ((), point), ("good", point)])


def shapes():
    p, q = (1700000000, 1), (1700000001, 2.5)
    both("further", [("a", p, q), ["b", list(p), q, p], ("c", p, "x", q), ("d", p, (1, None), q)])
    both(
        "shapes",
        [
            (), [], ("a",), ("a", 1), ("a", 1, 2), ("a", ()), ("a", (1,)), ("a", (1, 2, 3)), ("a", p),
            [p], "ab", "", 1, None, True, {"a": p}, 1.5, ("a", [p]), ("a", None, p), [["a", p]], ("z", q),
        ],
    )
    for label, payload in [("dict", {"a": p}), ("none", None), ("int", 7), ("text", "ab"), ("float", 1.5)]:
        both(f"payload_{label}", payload, [0, 2, 4])
    own = []
    own += [own, ("a", p), ["b", own], ("c", (own, 1)), ("d", (1, own)), ("e", p)]
    both("contains_itself", own)
    laughs = ["ha", p]
    for _ in range(40):
        laughs = [laughs] * 10
    both("laughs", [laughs, ("a", p)], [0, 2, 4])
    nested = []
    for _ in range(300):
        nested = [nested]
    both("nested", [nested, ("a", p)], [2])


def refused():
    import datetime

    things = [("class", datetime.date(2020, 1, 1)), ("bytes", b"x"), ("function", print)]
    for label, thing in things:
        write(f"refused_{label}", pickle.dumps([("a", (1700000000, thing))], 2), "forbidden")
    write("refused_reduce", b"cos\nsystem\n(S'true'\ntR.", "forbidden")
    write("refused_stack_global", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "forbidden")
    write("refused_inst", b"(S'true'\nios\nsystem\n.", "forbidden")
    write("refused_obj", b"(cos\nsystem\nS'true'\no.", "forbidden")
    write("refused_build", b"]}b.", "forbidden")
    write("refused_persid", b"Pabc\n.", "forbidden")
    write("refused_binpersid", b"]Q.", "forbidden")
    write("refused_ext", b"\x80\x02\x82\x01.", "forbidden")
    write("refused_buffer", b"\x80\x05\x97.", "forbidden")
    write("refused_newobj", b"\x80\x02]]\x81.", "forbidden")
    write("refused_protocol", b"\x80\x06].", "protocol")
    write("refused_opcode", b"\x80\x02]\xff.", "unknown_opcode")
    write("refused_empty", b"", "empty")
    write("refused_no_stop", b"\x80\x02]", "truncated")
    write("refused_underflow", b"\x80\x02K\x01\x86.", "stack_underflow")
    write("refused_fence", b"]K\x01(\x86.", "stack_underflow")
    write("refused_no_mark", b"]K\x01e.", "no_mark")
    write("refused_memo", b"\x80\x02]h\x05a.", "unknown_memo")
    write("refused_append", b")K\x01a.", "wrong_target")
    write("refused_setitem", b"]K\x01K\x01s.", "wrong_target")
    write("refused_int", b"I12x\n.", "bad_number")
    write("refused_long", b"LL\n.", "bad_number")
    write("refused_float", b"F1.2.3\n.", "bad_number")
    write("refused_quotes", b"Sabc\n.", "bad_text")
    write("refused_escape", b"S'\\x1'\n.", "bad_text")
    write("refused_unicode", b"V\\u12\n.", "bad_text")
    write("refused_memo_bomb", b"\x80\x02]r\xff\xff\xff\xff", "too_complex")
    write("refused_length", b"\x80\x02T\xff\xff\xff\x7fabc", "truncated")
    write("refused_length_8", b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc", "truncated")
    write("refused_long_4", b"\x80\x02\x8b\xff\xff\xff\x7fabc", "truncated")
    write("refused_frame", b"\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00]\x94.", "truncated")


def senders():
    """Frames of senders other than CPython 3, as they write them."""
    ts = struct.pack("<i", 1710159360)
    stamp = struct.pack(">d", 1710159360.0)
    value = struct.pack(">d", 1.5)
    frames = {
        "relay_python3": "80025d71005803000000612e6271014741d7fb9980000000473ff8000000000000867102867103612e",
        "relay_python2": "80025d71015503612e6271024741d7fb9980000000473ff8000000000000867103867104612e",
        "relay_python2_name_twice": "80025d7101285503612e6271024a0066ee5f473ff800000000000086710386710468024a3c66ee5f4b02867105867106652e",
        "relay_ng": "8002285503612e624a0066ee5f473ff800000000000086866c2e",
        "statsd": "286c285327612e62270a284c313630393435393230304c0a5327312e35270a7474612e",
        "brubeck": "5d710028285503612e627101284a0066ee5f473ff8000000000000747102747103652e",
        "protocol_4": "8004951c000000000000005d948c03612e62944a0066ee5f473ff800000000000086948694612e",
    }
    for label, frame in frames.items():
        write(f"sender_{label}", bytes.fromhex(frame))
    # brubeck's memo index is one byte and wraps.
    body = b"".join(
        b"(U" + bytes([len(n)]) + n + b"q" + bytes([(3 * i + 1) % 256]) + b"(J" + ts + b"G" + value
        + b"tq" + bytes([(3 * i + 2) % 256]) + b"tq" + bytes([(3 * i + 3) % 256])
        for i, n in ((i, b"stats.%d" % i) for i in range(100))
    )
    write("sender_brubeck_wraps", b"]q\0(" + body + b"e.")
    # statsd sends many metrics in one list, each with its own APPEND.
    statsd = b"".join(
        b"(S'stats.gauges.g%d'\n(L1710159360L\nS'%d.25'\ntta" % (i, i) for i in range(20)
    )
    write("sender_statsd_many", b"(l" + statsd + b".")
    # carbon-relay-ng writes what does not fit 31 bits as text.
    write("sender_relay_ng_late", b"\x80\x02(U\x03a.bI4102444800\nG" + value + b"\x86\x86l.")
    # lomik/graphite-pickle writes lists.
    item = b"](U\x03a.b](J" + ts + b"G" + value + b"eU\x01xe"
    write("sender_go_lists", b"\x80\x02](" + item + b"](U\x03c.d](J" + ts + b"K\x05eee.")
    # carbon's example client, protocol 1, with the values as texts.
    write("sender_example_client", pickle.dumps([("local.load", (1710159360, "0.25"))], 1))
    # Python 2: longs, BINSTRING, STRING by repr, doubles in protocol 0.
    long_name = b"n" * 300
    write(
        "sender_python2_long",
        b"\x80\x02]q\x01(T" + struct.pack("<i", 300) + long_name + b"q\x02\x8a\x05\x00\x66\xee\x5f\x00G"
        + value + b"\x86\x86q\x03h\x02G" + stamp + b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x86\x86e.",
    )
    write(
        "sender_python2_text",
        b"(lp1\n(S'a\\tb\\x41\\101\\\\\\''\np2\n(F1710159360.5\nF1e-3\ntp3\ntp4\na(S\"it's\"\n(I1710159360\nL12L\nttp5\n"
        b"a(S'\\q\\0'\n(L1710159360\nI01\ntta(g2\n(I1710159360\nI00\ntta.",
    )
    # What Python 2 makes of a text beyond 16 bits is two escapes; here with what follows.
    frame = b"(lp0\n(V\\U0001f600\\\\u0041\\n\np1\n(I1710159360\nI-5\nttp2\na."
    write("sender_python2_unicode", frame)


def programs():
    """Well-formed but unusual programs for the stack machine."""
    good = b"(U\x01aJ\x00\x66\xee\x5fK\x01\x86t"
    write("program_pop_mark", b"](" + good + b"(NNN1e.")
    write("program_pop", b"](" + good + b"N0e.")
    write("program_pop_takes_mark", b"]((0" + good + b"e.")
    write("program_dup", b"](" + good + b"2e.")
    write("program_after_stop", b"](" + good + b"e.\xff garbage")
    write("program_stop_above", b"N](" + good + b"e.")
    write("program_append_later", b"]q\0U\x01aq\x01]q\x02\x86a(h\x02(J\x00\x66\xee\x5fK\x011h\x02J\x00\x66\xee\x5faK\x07a0h\0.")
    write("program_set", b"\x80\x04\x8f(K\x01K\x02\x90q\x00](" + good + b"h\x00e.")
    write("program_frozenset", b"\x80\x04](" + good + b"(K\x01\x91e.")
    write("program_dict", b"](" + good + b"(K\x01K\x02d}K\x01K\x02s}(K\x01K\x02ue.")
    write("program_tuples", b"](" + good + b")K\x01\x85K\x01K\x02K\x03\x87(te.")
    write("program_memoize_gap", b"]q\x03\x94h\x03" + b"(" + good + b"e.")
    write("program_protocol_twice", b"\x80\x02](\x80\x04" + good + b"e.")
    write("program_long_4", b"](U\x01a\x8b\x04\0\0\0\x00\x66\xee\x5f\x8b\0\0\0\0\x86\x86e.")
    write("program_long_1", b"](U\x01a\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00\x8a\x0c\x05" + b"\0" * 11 + b"\x86\x86e.")
    write("program_unicode_8", b"](\x8d\x03" + b"\0" * 7 + b"a.bJ\x00\x66\xee\x5fK\x01\x86\x86\x8e\x01" + b"\0" * 7 + b"cJ\x00\x66\xee\x5fK\x02\x86\x86e.")


def random_value(rng, depth=0):
    pick = rng.randrange(14 if depth < 3 else 9)
    if pick < 2:
        return rng.choice([0, 1, -1, 1700000000, 2**31, 2**63, 2**64, -(2**63), rng.getrandbits(rng.randrange(1, 70))])
    if pick < 4:
        return rng.choice([0.5, 1700000000.0, rng.random(), float("inf"), -0.0])
    if pick < 7:
        return rng.choice(["a.b", "12", "-1.5", "\u00e9\\u", "x" * rng.randrange(5), "\u4e16\n", ""])
    if pick == 7:
        return rng.choice([True, False, None])
    if pick == 8:
        return rng.choice([{}, {"a": 1}, (), []])
    make = rng.choice([list, tuple])
    return make(random_value(rng, depth + 1) for _ in range(rng.choice([0, 1, 2, 2, 2, 3])))


def random_payload(rng):
    pool = [random_value(rng) for _ in range(3)] + ["name.%d" % rng.randrange(9), (1700000000, 1.5)]

    def leaf(probable):
        roll = rng.random()
        if roll < 0.75:
            return probable()
        return rng.choice(pool) if roll < 0.9 else random_value(rng)

    def sequence(*elements):
        return rng.choice([list, tuple])(elements)

    def point():
        return sequence(
            leaf(lambda: rng.choice([1700000000, 1700000000.25])),
            leaf(lambda: rng.choice([1, 2.5, "3", rng.random()])),
        )

    def item():
        more = [leaf(point) for _ in range(rng.choice([0, 0, 0, 1, 2]))]
        made = sequence(leaf(lambda: "m.%d" % rng.randrange(99)), leaf(point), *more)
        pool.append(made)
        return made

    return rng.choice([list, list, tuple])(leaf(item) for _ in range(rng.randrange(6)))


def chance():
    rng = random.Random(20240311)
    frames, means = bytearray(), []
    for turn in range(300):
        payload = random_payload(rng)
        dump = rng.choice([pickle.dumps, pickle._dumps])
        frame = dump(payload, turn % 6)
        frames += struct.pack(">I", len(frame)) + frame
        means.append(expect(frame))
    (OUT / "random.frames").write_bytes(frames)
    return means


def bench():
    """What benches/decode.rs imitates."""
    points = [
        (f"servers.web-{i:05}.requests.checkout.latency.p99_upper", (1700000000.0 + i, i * 0.25))
        for i in range(100)
    ]
    for protocol in (0, 2, 4):
        write(f"bench_{protocol}", pickle.dumps(points, protocol))


def main():
    sys.setrecursionlimit(10000)
    # One frame holds an escape that Python passes on, and warns of.
    warnings.simplefilter("ignore", DeprecationWarning)
    OUT.mkdir(exist_ok=True)
    for old in OUT.iterdir():
        old.unlink()
    for make in (plain, shared, kinds, names, shapes, refused, senders, programs, bench):
        make()
    first, lines = {}, []
    for label, means in expected.items():
        means = json.dumps(means)
        # What means the same as an earlier frame is written as that one's label.
        same = first.setdefault(means, label)
        lines.append(f"{json.dumps(label)}: {means if same == label else json.dumps(same)}")
    many = ",\n".join(json.dumps(means) for means in chance())
    (OUT / "expected.json").write_text(
        "{\n" + ",\n".join(lines) + ',\n"random": [\n' + many + "\n]\n}\n"
    )


main()
