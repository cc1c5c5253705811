"""Histories of series in a real Redis, and what Skyline's Roomba makes of them.

    roomba.py fill SOCKET PREFIX BOUND MARGIN SEED SERIES
    roomba.py late SOCKET PREFIX BOUND MARGIN SEED SERIES

Each series gets, by APPEND as Skyline's worker does, records of all kinds: out of
order, twice, with mixed kinds of numbers, some with the end of the last one missing,
some all too old. "late" appends to the same series, as Mirage does: older records, and
without making the metric known. Nothing has a timestamp within MARGIN seconds of BOUND,
up to which records are too old, so that it does not matter when exactly the pass is.

Prints one JSON object: each key with its series afterwards, as hexadecimal text, or
null if it is removed. That is what Skyline's vacuum, with the real msgpack, makes of
the bytes in Redis at that moment, which no other program may be changing.
"""

import json
import pathlib
import random
import socket
import sys

import msgpack

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "goldens"))
from make_roomba import vacuum, value  # noqa: E402


class Redis:
    """As much of a client as is needed: commands sent together, answers in order."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.reader = self.socket.makefile("rb")

    def run(self, commands):
        for words in commands:
            words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
            sent = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
            self.socket.sendall(b"*%d\r\n" % len(words) + sent)
        return [self.answer() for _ in commands]

    def answer(self):
        line = self.reader.readline().rstrip()
        if line[:1] == b"-":
            raise SystemExit(line.decode())
        if line[:1] != b"$":
            return line[1:]
        length = int(line[1:])
        return None if length < 0 else self.reader.read(length + 2)[:-2]


def timestamps(rng, bound, margin, count):
    start = bound - margin - 60 * rng.randrange(0, count)
    for number in range(count):
        at = start + 60 * number
        if at > bound - margin:
            at += 2 * margin
        yield at


def records(rng, bound, margin):
    fate = rng.random()
    history = []
    for at in timestamps(rng, bound, margin, rng.randrange(1, 60)):
        if fate < 0.1:
            at -= 100_000
        kind = rng.random()
        at = float(at) if kind < 0.4 else at + 0.25 if kind < 0.5 else at
        history.append((at, value(rng)))
        if rng.random() < 0.05:
            history.append((float(at), value(rng)))
    if rng.random() < 0.3:
        rng.shuffle(history)
    if rng.random() < 0.3:
        history += rng.sample(history, min(3, len(history)))
    return [msgpack.packb(record) for record in history]


def fill(rng, bound, margin):
    packed = records(rng, bound, margin)
    if rng.random() < 0.1:
        packed.append(packed[-1][: rng.randrange(1, len(packed[-1]))])
    return packed


def main():
    what, path, prefix, bound, margin, seed, series = sys.argv[1:]
    bound, margin = int(bound), int(margin)
    redis = Redis(path)
    rng = random.Random(f"{seed} {what}")
    keys = [f"{prefix}history.{number}" for number in range(int(series))]
    commands = []
    for key in keys:
        if what == "fill":
            packed = fill(rng, bound, margin)
            commands.append(("SADD", f"{prefix}unique_metrics", key))
        else:
            packed = records(rng, bound, margin)
            rng.shuffle(packed)
            packed = packed[: rng.randrange(0, 6)]
        step = rng.randrange(1, 8)
        for at in range(0, len(packed), step):
            commands.append(("APPEND", key, b"".join(packed[at : at + step])))
    redis.run(commands)
    held = dict(zip(keys, redis.run([("GET", key) for key in keys])))
    after = {}
    for key, series in held.items():
        left = None if series is None else vacuum(series, bound)
        after[key] = None if left is None else left.hex()
    print(json.dumps(after))


main()
