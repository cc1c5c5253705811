"""Hours of series that are written while Skyline's Roomba passes over them each minute.

    roomba_hours.py START DURATION MINUTES SERIES SEED

Prints a JSON line for each minute: "now", when its pass is; "appended", what is written
before that, each with the name of the series, the bytes as hexadecimal text, and the whole
seconds of its points if it comes through Horizon, which makes the metric known, or else
null; and "after", each series when the pass has ended, or null if it is no more. That is what Skyline's vacuum, with the real
msgpack, makes of it; see make_roomba.py.

Each series is written in its own way: each minute or seldom, several points at once or
not in order, twice, late, by Horizon or by another program as Mirage does, with the end
of the last record missing, with rests after which nothing of it is left. What Skyline's
Roomba deletes a whole series for is none of it.
"""

import json
import pathlib
import random
import sys

import msgpack

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "goldens"))
from make_roomba import vacuum, value  # noqa: E402


def stamp(rng, second):
    """A timestamp of this second, of any kind."""
    return rng.choice([second, float(second), float(second), second + rng.choice([0.25, 0.5])])


class Series:
    def __init__(self, rng, duration):
        self.rng = rng
        self.duration = duration
        self.rest = 0
        self.every = rng.choice([1, 1, 1, 2, 7])
        self.late = rng.choice([0, 0, 0.05, 0.3])
        self.twice = rng.choice([0, 0, 0.05, 0.3])
        self.foreign = rng.choice([0, 0, 0.1, 0.5])
        self.cut = rng.choice([0, 0.05, 0.1])
        self.stops = rng.choice([0, 0, 0.02])
        self.recent = []

    def point(self, second):
        point = (stamp(self.rng, second), value(self.rng))
        self.recent = (self.recent + [point])[-5:]
        return point

    def again(self):
        """A point of a time that there was lately."""
        at, _ = self.rng.choice(self.recent)
        return (self.rng.choice([at, float(at)]), value(self.rng))

    def minute(self, number, now, is_there):
        """What is written in a minute that ends now: points, and who writes them."""
        rng = self.rng
        if self.rest > 0:
            self.rest -= 1
            return
        if rng.random() < self.stops:
            # Some so long that nothing of it is left.
            self.rest = rng.randrange(1, 2 * self.duration // 60)
        if number % self.every == 0:
            points = [self.point(now - rng.randrange(0, 60)) for _ in range(rng.choice([1, 1, 1, 3]))]
            if rng.random() < self.twice:
                points += [self.again() for _ in range(3)]
            yield points, True
        if self.recent and rng.random() < self.late:
            old = now - rng.randrange(60, self.duration + 1200)
            yield [(stamp(rng, old), value(rng))], True
        # Another program writes only what is there, and makes nothing known.
        if is_there and self.recent and rng.random() < self.foreign:
            late = [now - rng.randrange(0, self.duration + 1200) for _ in range(rng.randrange(1, 4))]
            yield [(stamp(rng, at), value(rng)) for at in late] + [self.again()], False


def main():
    start, duration, minutes, count = map(int, sys.argv[1:5])
    rng = random.Random(sys.argv[5])
    names = [f"hours.{number}" for number in range(count)]
    series = {name: Series(rng, duration) for name in names}
    held = {}
    for number in range(minutes):
        now = start + 60 * number
        appended = []
        for name in names:
            last = len(appended)
            for points, is_own in series[name].minute(number, now, name in held):
                seconds = [int(at) for at, _ in points] if is_own else None
                appended.append((name, b"".join(map(msgpack.packb, points)), seconds))
            is_silent = len(appended) == last
            if is_silent and name in held and rng.random() < series[name].cut:
                # Behind a whole record, so that it is not the only thing there.
                whole = msgpack.packb((now, 0.5))
                appended.append((name, whole + whole[: rng.randrange(1, len(whole))], None))
        for name, data, _ in appended:
            held[name] = held.get(name, b"") + data
        after = {name: vacuum(data, now - duration) for name, data in held.items()}
        held = {name: data for name, data in after.items() if data is not None}
        line = {
            "now": now,
            "appended": [(name, data.hex(), seconds) for name, data, seconds in appended],
            "after": {name: held[name].hex() if name in held else None for name in names},
        }
        print(json.dumps(line))


main()
