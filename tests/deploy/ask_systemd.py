"""Replaces systemctl, useradd and the like for ``deploy.sh``: passes its arguments to ``Systemd``."""

from __future__ import annotations

import json
import os
import socket
import sys

with socket.socket(socket.AF_UNIX) as client:
    client.connect(os.environ["WSGW_TEST_SYSTEMD"])
    with client.makefile("rw") as stream:
        print(json.dumps(sys.argv[1:]), file=stream, flush=True)
        status, output = json.loads(stream.readline())
print(output, end="")
sys.exit(status)
