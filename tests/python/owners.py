"""The number of the cluster shard that owns each metric, as Skyline finds it.

Reads names, one on a line in UTF-8, and prints one JSON list of numbers. The
argument is how many cluster shards there are.
"""

import json
import sys
import zlib

shards = int(sys.argv[1])
names = sys.stdin.buffer.read().decode("utf-8").split("\n")[:-1]
print(json.dumps([zlib.adler32(name.encode("utf-8")) % shards for name in names]))
