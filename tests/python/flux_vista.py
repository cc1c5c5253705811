"""Sends points as Skyline's Vista does, one GET each on a connection of its own.

flux_vista.py ADDRESS KEY FIRST COUNT: metric vista.m0, timestamps FIRST and on.
Prints the codes that were answered.
"""

import http.client
import json
import sys
from urllib.parse import quote

address, key, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
codes = []
for at in range(count):
    connection = http.client.HTTPConnection(address, timeout=60)
    metric = quote("vista.m0")
    connection.request(
        "GET",
        "/metric_data?metric=%s&value=%s&timestamp=%s&key=%s" % (metric, at + 0.5, first + at, key),
        headers={"User-Agent": "python-requests/2.31.0", "Accept-Encoding": "gzip, deflate",
                 "Accept": "*/*", "Connection": "keep-alive"},
    )
    answer = connection.getresponse()
    body = answer.read()
    codes.append(answer.status if not body else [answer.status, body.decode()])
    connection.close()
print(json.dumps(codes))
