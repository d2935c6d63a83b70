"""Receives a gateway's notifications for systemd at once: a socket may have room for ten messages only."""

from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from tests.support.observe import PATIENCE

#: Process, user and group of a sender, unix(7).
_CREDENTIALS = struct.Struct("3i")


class Notification(NamedTuple):
    """``values`` by name, from a process, received ``at`` (seconds, monotonic)."""

    pid: int
    at: float
    values: dict[str, str]


class Supervisor:
    """Listens at ``address``."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._taken: SimpleQueue[Notification] = SimpleQueue()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(self.address)
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        while True:
            data, control, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
            if not data:
                return
            [(_, _, credentials)] = control
            values = dict(line.split("=", 1) for line in data.decode().splitlines())
            self._taken.put(Notification(_CREDENTIALS.unpack(credentials)[0], time.monotonic(), values))

    def heard(self, name: str = "") -> Notification:
        """The next notification, or the next with ``name``. Raises queue.Empty."""
        while True:
            notification = self._taken.get(timeout=PATIENCE)
            if not name or name in notification.values:
                return notification

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self._socket.close()
