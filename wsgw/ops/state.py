"""What the parent of a gateway says of itself, for the status page of any worker.

A small JSON document in a memory file that workers inherit; the parent alone writes it. ``read`` gives

    pid, started_at        of the parent; times are seconds since the epoch
    version                of the code that runs
    source                 the configuration's file, empty for the command line
    last_reload            null, or {at, ok, errors}: errors are sentences with file and line
    workers                [{slot, pid, started_at, restarts, leaving}]
    draining               the gateway ends its sessions
    retiring               a newer parent has taken over the ports
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any
from zlib import crc32

_HEAD = struct.Struct("!II")
#: A document is some kilobytes; more than this is not written by us.
_LARGEST = 1 << 20


class StateFile:
    """Written by one process, read by those that were forked from it."""

    def __init__(self) -> None:
        self._file = os.memfd_create("state")
        self.publish({})

    def publish(self, document: dict[str, Any]) -> None:
        """Replace what readers see."""
        data = json.dumps(document).encode()
        os.pwrite(self._file, _HEAD.pack(len(data), crc32(data)) + data, 0)

    def read(self) -> dict[str, Any]:
        """The document published last."""
        while True:
            content = os.pread(self._file, _LARGEST, 0)
            size, checksum = _HEAD.unpack_from(content)
            data = content[_HEAD.size : _HEAD.size + size]
            if crc32(data) == checksum:  # else it is being written just now
                found: dict[str, Any] = json.loads(data)
                return found
