"""One TCP connection: reads block its greenlet, writes never do.

Any greenlet may queue bytes; one short-lived writer greenlet at a time sends them, so that a client that does
not read delays no other client. The module knows nothing of XML.
"""

from __future__ import annotations

import socket as stdlib_socket

from gevent import Greenlet, spawn_later
from gevent.pool import Group
from gevent.socket import socket

READ_SIZE = 16384

#: Bytes that may wait for a client; with more, its connection is closed.
MAX_PENDING = 8 * 1024 * 1024

#: Seconds for sending the last bytes, and for the peer's FIN.
LINGER = 1.0


class Connection:
    """The connection ``sock`` and the queue of its outgoing bytes; the writer runs in ``greenlets``."""

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
        """The next bytes, at most ``READ_SIZE``; empty after the end of the connection, orderly or not."""
        try:
            return self._sock.recv(READ_SIZE)
        except OSError:
            return b""

    def send(self, data: bytes) -> None:
        """Queue ``data``; after ``finish`` it is dropped."""
        if self._finishing or self._broken:
            return
        self._pending += data
        if len(self._pending) > MAX_PENDING:
            self._abort()
        else:
            self._start_writer()

    def finish(self) -> None:
        """Send the queue, then FIN; the peer has ``LINGER`` seconds for its own FIN."""
        if self._finishing or self._broken:
            return
        self._finishing = True
        self._deadline = spawn_later(LINGER, self._abort)
        self._start_writer()

    def close(self) -> None:
        """After the last read: send the queue, for ``LINGER`` seconds at most, and close the socket."""
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
        """Shut down the socket, so that ``receive`` returns and reports the end."""
        self._broken = True
        try:
            self._sock.shutdown(stdlib_socket.SHUT_RDWR)
        except OSError:
            return
