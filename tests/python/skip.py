"""Skyline's skip lists, as its worker has them.

Reads one JSON object with "skip", "do_not_skip" and "names", and prints the
names that are skipped.
"""

import json
import sys


def fits(name, patterns):
    for pattern in patterns:
        if pattern in name:
            return True
        elements = pattern.split(".")
        if len(set(name.split(".")) & set(elements)) == len(elements):
            return True
    return False


given = json.load(sys.stdin)
skipped = [
    name
    for name in given["names"]
    if fits(name, given["skip"]) and not fits(name, given["do_not_skip"])
]
print(json.dumps(skipped))
