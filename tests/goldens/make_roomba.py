#!/usr/bin/python3
"""Writes roomba.json: series before and after a pass of Skyline's Roomba.

What a pass makes of a series is written down here as Skyline's vacuum does it, with
the real msgpack: unpack, sort whole tuples, keep what is newer than the bound, the
first of each timestamp, pack again and cut off the header of the outer array.
"""
import json
import pathlib
import random

import msgpack

OLDEST = 1_600_000_000


def unpack(data):
    unpacker = msgpack.Unpacker(use_list=False, strict_map_key=False)
    unpacker.feed(data)
    return list(unpacker)


def vacuum(data, oldest):
    """The series afterwards, or None if it is removed."""
    series = sorted(unpack(data))
    if not series:
        return data
    if not isinstance(series[0], tuple):
        return None if series[0] < oldest else data
    if series[-1][0] < oldest:
        return None
    kept, seen = [], set()
    for timestamp, value in series:
        if timestamp > oldest and timestamp not in seen:
            kept.append((timestamp, value))
            seen.add(timestamp)
    if not kept:
        return None
    packed = msgpack.packb(kept)
    header = 1 if len(kept) <= 15 else 3 if len(kept) <= 65535 else 5
    return packed[header:]


def value(rng):
    """Of any kind that a series may hold."""
    return rng.choice(
        [rng.randrange(-300, 300), rng.random() * 1e6, -0.0, 0, 1.0, 1, True, 2**63, -(2**40), 1e300]
    )


def history(rng):
    timestamp = OLDEST - rng.randrange(0, 900)
    records = []
    for _ in range(rng.randrange(1, 40)):
        timestamp += rng.choice([0, 1, 10, 60, 60, 60])
        kind = rng.random()
        stamp = float(timestamp) if kind < 0.4 else timestamp + 0.25 if kind < 0.5 else timestamp
        records.append((stamp, value(rng)))
    if rng.random() < 0.3:
        rng.shuffle(records)
    if rng.random() < 0.3:
        records += rng.sample(records, min(3, len(records)))
    if rng.random() < 0.1:
        records = [(timestamp - 10_000, value) for timestamp, value in records]
    data = b"".join(msgpack.packb(record) for record in records)
    if rng.random() < 0.1:
        data += msgpack.packb((timestamp, 1.5))[: rng.randrange(1, 19)]
    return data


def main():
    rng = random.Random(4)
    series = [history(rng) for _ in range(150)]
    edge = msgpack.packb
    series += [
        b"",
        edge(7),
        edge(OLDEST + 1),
        edge((OLDEST, 1)),
        edge((OLDEST + 1, 1)),
        edge((OLDEST + 0.5, 1)),
        edge((OLDEST + 60, 5.0)) + edge((OLDEST + 60, 3.0)) + edge((OLDEST + 60, 9.0)),
        edge((OLDEST + 60, 5)) + edge((OLDEST + 60.0, 3.0)),
        edge((OLDEST + 60, 3)) + edge((OLDEST + 60.0, 3.0)),
    ]
    cases = []
    for before in series:
        after = vacuum(before, OLDEST)
        cases.append({"before": before.hex(), "after": None if after is None else after.hex()})
    path = pathlib.Path(__file__).with_name("roomba.json")
    path.write_text(json.dumps({"oldest": OLDEST, "cases": cases}, indent=0) + "\n")


if __name__ == "__main__":
    main()
