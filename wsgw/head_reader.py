"""Reads the lines of a request head, within a limit, and leaves what follows it where it was."""

from __future__ import annotations

from typing import Protocol

from wsgw.errors import HandshakeRefused


class Source(Protocol):
    """What is read from: a ``SocketAsync``."""

    def recv(self) -> bytes:
        """Return what is there, waiting for it; empty at the end of the stream."""

    def unread(self, data: bytes) -> None:
        """Put back what was read too far."""


class HeadReader:
    """Reads the lines of a request head; more than ``limit`` bytes in all are refused with 431."""

    closed = False

    def __init__(self, source: Source, limit: int) -> None:
        self._source = source
        self._left = limit
        self._begun = False

    def readline(self, limit: int = -1) -> bytes:
        """Return one line with its end, or nothing if the stream ends before the head begins.

        Raises HandshakeRefused (431) and OSError, also when the stream ends inside the head.
        """
        line = b""
        while not line.endswith(b"\n"):
            chunk = self._source.recv()
            if not chunk:
                if self._begun or line:
                    raise ConnectionResetError("connection closed inside the request head")
                return b""
            head, newline, rest = chunk.partition(b"\n")
            if rest:
                self._source.unread(rest)
            line += head + newline
            if len(line) > self._left:
                raise HandshakeRefused(431, "Request Header Fields Too Large", cause="max_header_size")
        self._left -= len(line)
        self._begun = True
        return line

    def read(self, size: int = -1) -> bytes:
        """A request head has no body: nothing."""
        return b""

    def close(self) -> None:
        """Nothing to let go of: the buffer is the socket's."""
