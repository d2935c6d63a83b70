"""State files: a small JSON document that one process writes and that other processes read.

The parent of a gateway has one in memory, which workers inherit and from which they make the status page:

    pid, started_at        of the parent; times are seconds since the epoch
    version                of the running code
    source                 the file of the configuration, empty for the command line
    last_reload            null, or {at, ok, errors}: errors are sentences with file and line
    certificates_current   false if changed PEM files could not be used and the previous content is in use
    native                 {in_use, reason}: whether workers use the native functions, and if not, why
    workers                [{slot, pid, started_at, restarts, leaving, native_disabled}]: native_disabled
                           after a crash, until an upgrade or a restart
    restarts               how many workers have died and were replaced
    draining               whether the gateway ends its sessions
    retiring               whether a newer parent has taken over the ports

Each worker has one on the disk; ``publisher`` lists its keys.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any
from zlib import crc32

_HEAD = struct.Struct("!II")
#: Bytes that a reader reads at most; a document has some kilobytes.
_LARGEST = 1 << 20
#: How often ``read`` tries, as it may see a document that is half written.
_TRIES = 1000


class StateFile:
    """A document that one process publishes; others read it by the inherited descriptor or by its path."""

    def __init__(self, path: Path | None = None) -> None:
        """Create the file ``path``, or with None a file in memory. Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._file = os.memfd_create("state") if path is None else os.open(path, flags, 0o600)
        self.publish({})

    def publish(self, document: dict[str, Any]) -> None:
        """Replace the document. Its values must be JSON types."""
        data = json.dumps(document).encode()
        os.pwrite(self._file, _HEAD.pack(len(data), crc32(data)) + data, 0)

    def read(self) -> dict[str, Any]:
        """The document published last; empty if the writer was killed while it wrote."""
        for _ in range(_TRIES):
            if (found := read_document(self._file)) is not None:
                return found
        return {}

    def close(self) -> None:
        """Close the descriptor; other processes may still read the document."""
        os.close(self._file)


def read_document(file: int) -> dict[str, Any] | None:
    """The document in the state file with the descriptor ``file``; None if it is half written."""
    content = os.pread(file, _LARGEST, 0)
    if len(content) < _HEAD.size:
        return None
    size, checksum = _HEAD.unpack_from(content)
    data = content[_HEAD.size : _HEAD.size + size]
    if crc32(data) != checksum:
        return None
    found: dict[str, Any] = json.loads(data)
    return found
