"""What the parent of a gateway says of itself, for the status page of any worker.

A small JSON document in a memory file that workers inherit; the parent alone writes it. ``read`` gives

    pid, started_at        of the parent; times are seconds since the epoch
    version                of the code that runs
    source                 the configuration's file, empty for the command line
    last_reload            null, or {at, ok, errors}: errors are sentences with file and line
    workers                [{slot, pid, started_at, restarts, leaving}]
    restarts               of all workers so far
    draining               the gateway ends its sessions
    retiring               a newer parent has taken over the ports
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any
from zlib import crc32

_HEAD = struct.Struct("!II")
#: A document is some kilobytes; more than this is not written by us.
_LARGEST = 1 << 20
_TRIES = 1000


class StateFile:
    """Written by one process, read by those that were forked from it."""

    def __init__(self, path: Path | None = None) -> None:
        """In memory, or in a file for those who know its name. Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._file = os.memfd_create("state") if path is None else os.open(path, flags, 0o600)
        self.publish({})

    def publish(self, document: dict[str, Any]) -> None:
        """Replace what readers see."""
        data = json.dumps(document).encode()
        os.pwrite(self._file, _HEAD.pack(len(data), crc32(data)) + data, 0)

    def read(self) -> dict[str, Any]:
        """The document published last; empty if whoever wrote it was killed in the middle."""
        for _ in range(_TRIES):  # it may be being written just now
            if (found := read_document(self._file)) is not None:
                return found
        return {}

    def close(self) -> None:
        """Nobody writes any more."""
        os.close(self._file)


def read_document(file: int) -> dict[str, Any] | None:
    """What stands in a state file's descriptor; None if it is not whole."""
    content = os.pread(file, _LARGEST, 0)
    if len(content) < _HEAD.size:
        return None
    size, checksum = _HEAD.unpack_from(content)
    data = content[_HEAD.size : _HEAD.size + size]
    if crc32(data) != checksum:
        return None
    found: dict[str, Any] = json.loads(data)
    return found
