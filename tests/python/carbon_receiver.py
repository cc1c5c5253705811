"""Carbon's pickle receiver, without the rest of carbon.

Prints the port it listens on, then each frame that it was sent as one JSON
text: a list of name, timestamp and value, with the types of both numbers.
The optional argument is the port.
"""

import json
import pickle
import socketserver
import struct
import sys


class Receiver(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            prefix = self.rfile.read(4)
            if len(prefix) < 4:
                return
            (length,) = struct.unpack("!L", prefix)
            points = pickle.loads(self.rfile.read(length))
            print(json.dumps([
                [name, timestamp, value, type(timestamp).__name__, type(value).__name__]
                for name, (timestamp, value) in points
            ]), flush=True)


socketserver.TCPServer.allow_reuse_address = True
with socketserver.TCPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 0), Receiver) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
