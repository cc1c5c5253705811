"""The points in a file of Whisper's, as [[timestamp, value], ...]; [] without a file."""

import json
import os
import sys
import time

import whisper

points = []
if os.path.exists(sys.argv[1]):
    now = int(time.time())
    fetched = whisper.fetch(sys.argv[1], 0, now + 120, now)
    if fetched:
        (start, end, step), values = fetched
        points = [[start + at * step, value] for at, value in enumerate(values) if value is not None]
print(json.dumps(points))
