"""Writes points into a file of Whisper's: {"file", "archives", "points"} on standard input."""

import json
import os
import sys

import whisper

given = json.load(sys.stdin)
if not os.path.exists(given["file"]):
    os.makedirs(os.path.dirname(given["file"]), exist_ok=True)
    whisper.create(given["file"], [tuple(it) for it in given["archives"]], xFilesFactor=0)
points = [(time, float(value)) for time, value in given["points"]]
if points:
    whisper.update_many(given["file"], points)
