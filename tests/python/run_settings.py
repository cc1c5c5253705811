"""Runs the settings file on standard input, as Skyline would, and prints the setting
that the first argument names as JSON. The host name is the second argument."""

import json
import os
import platform
import socket
import sys

name, host = sys.argv[1:]
uname = os.uname()
os.uname = lambda: os.uname_result((uname.sysname, host) + tuple(uname)[2:])
socket.gethostname = platform.node = lambda: host
settings = {"__name__": "settings"}
exec(compile(sys.stdin.read(), "settings.py", "exec"), settings)
print(json.dumps(settings[name]))
