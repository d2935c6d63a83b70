"""One TCP connection: reads block its greenlet, writes never do.

Whatever greenlet has something to say queues it; one short-lived writer greenlet at a time sends it, so
that a client which does not read delays nobody else. It knows nothing of XML.
"""

from __future__ import annotations

import socket as stdlib_socket

from gevent import Greenlet, spawn_later
from gevent.pool import Group
from gevent.socket import socket

READ_SIZE = 16384

#: A client this many bytes behind in reading is cut off.
MAX_PENDING = 8 * 1024 * 1024

#: Seconds that the last words, and the peer's closing, may take.
LINGER = 1.0


class Connection:
    """``sock`` with its outgoing queue; its writer runs in ``greenlets``."""

    def __init__(self, sock: socket, greenlets: Group) -> None:
        self._sock = sock
        self._greenlets = greenlets
        self._pending = bytearray()
        self._writer: Greenlet[..., None] | None = None
        self._deadline: Greenlet[..., None] | None = None
        self._finishing = False
        self._broken = False
        sock.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)

    def receive(self) -> bytes:
        """Some bytes; none when the connection is over, however it ended."""
        try:
            return self._sock.recv(READ_SIZE)
        except OSError:
            return b""

    def send(self, data: bytes) -> None:
        """Queue ``data``; what comes after ``finish`` is dropped."""
        if self._finishing or self._broken:
            return
        self._pending += data
        if len(self._pending) > MAX_PENDING:
            self._abort()
        else:
            self._start_writer()

    def finish(self) -> None:
        """Send what is queued, then FIN; the peer has ``LINGER`` seconds to do the same."""
        if self._finishing or self._broken:
            return
        self._finishing = True
        self._deadline = spawn_later(LINGER, self._abort)
        self._start_writer()

    def close(self) -> None:
        """The reader is done: send what is queued, for ``LINGER`` seconds at most, and close."""
        if self._writer is not None:
            self._writer.join(LINGER)
        for greenlet in (self._writer, self._deadline):
            if greenlet is not None:
                greenlet.kill(block=False)
        self._broken = True
        self._sock.close()

    def _start_writer(self) -> None:
        if self._writer is None:
            self._writer = self._greenlets.spawn(self._write)

    def _write(self) -> None:
        try:
            while self._pending:
                data, self._pending = bytes(self._pending), bytearray()
                self._sock.sendall(data)
            if self._finishing:
                self._sock.shutdown(stdlib_socket.SHUT_WR)
        except OSError:
            self._broken = True
        finally:
            self._writer = None

    def _abort(self) -> None:
        """Wake the reader, which will find the end."""
        self._broken = True
        try:
            self._sock.shutdown(stdlib_socket.SHUT_RDWR)
        except OSError:
            return
