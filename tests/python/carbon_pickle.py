"""The pickle that carbon-relay sends of plain lines of "name value timestamp".

Prints it as one JSON text, hexadecimal.
"""

import json
import pickle
import sys

points = []
for line in sys.stdin:
    name, value, timestamp = line.split()
    points.append((name, (float(timestamp), float(value))))
print(json.dumps(pickle.dumps(points, protocol=2).hex()))
