"""Reads the lines of a request head, within a limit, and leaves what follows it where it was.

``StrictHeadReader`` lets them be judged by ``head_grammar`` before anyone else parses them.
"""

from __future__ import annotations

from typing import Protocol

from wsgw.errors import HandshakeRefused
from wsgw.errors.refusals import MAX_HEADER_SIZE
from wsgw.opening.head_grammar import check_framing, no_http, parse_field, parse_request_line

_EMPTY = b"\r\n"
#: How many times the limit is read of a head that is refused.
_READ_ON = 4


class Source(Protocol):
    """What is read from: a ``SocketAsync``."""

    def recv(self) -> bytes:
        """Return what is there, waiting for it; empty at the end of the stream."""

    def unread(self, data: bytes) -> None:
        """Put back what was read too far."""


class HeadReader:
    """Reads lines; more than ``limit`` bytes in all are refused with 431."""

    closed = False

    def __init__(self, source: Source, limit: int) -> None:
        self._source = source
        self._limit = self._left = limit
        self._begun = False
        #: What has come of a line that is too long.
        self._begun_line = b""

    def readline(self, limit: int = -1) -> bytes:
        """Return one line with its end, or nothing if the stream ends before the head begins.

        Raises HandshakeRefused (431) and OSError, also when the stream ends inside the head.
        """
        line, self._begun_line = self._begun_line, b""
        while not line.endswith(b"\n"):
            chunk = self._source.recv()
            if not chunk:
                if self._begun:
                    raise ConnectionResetError("connection closed inside the request head")
                return b""
            self._begun = True
            self._look_at(line + chunk)
            head, newline, rest = chunk.partition(b"\n")
            if rest:
                self._source.unread(rest)
            line += head + newline
            if len(line) > self._left:
                self._begun_line = line
                raise self._too_large()
        self._left -= len(line)
        return line

    def _look_at(self, beginning: bytes) -> None:
        """See what has come of a line, and perhaps of the lines after it."""

    def _too_large(self) -> HandshakeRefused:
        return HandshakeRefused(431, "Request Header Fields Too Large", cause=MAX_HEADER_SIZE)

    def read(self, size: int = -1) -> bytes:
        """A request head has no body: nothing."""
        return b""

    def close(self) -> None:
        """Nothing to let go of: the buffer is the socket's."""


class StrictHeadReader(HeadReader):
    """Reads the lines of a request head and refuses what is not in order; see ``head_grammar``."""

    def __init__(self, source: Source, limit: int) -> None:
        super().__init__(source, limit)
        #: As sent, latin-1; empty as long as they are not known.
        self.method = self.target = self.version = ""
        #: (name, value) in order, repeats kept.
        self.fields: list[tuple[str, str]] = []
        #: Whether the head is known to its end: only then does it say who the client is.
        self.ended = False
        #: The request line has come, in order or not.
        self._line_has_come = False

    def readline(self, limit: int = -1) -> bytes:
        """Return one line with its end, or nothing if the stream ends before the head begins.

        A head that is read to its end is in order. Raises HandshakeRefused (400, 414, 431) and OSError.
        """
        line = super().readline(limit)
        if not self.version:
            if line == _EMPTY:  # one is passed over: RFC 9112 section 2.2
                line = super().readline(limit)
            if line:
                self._line_has_come = True
                self.method, self.target, self.version = parse_request_line(line)
        elif line == _EMPTY:
            self.ended = True
            check_framing(self.version, self.fields)
        else:
            self.fields.append(parse_field(line))
        return line

    def read_on(self) -> None:
        """Read the rest of a head that is refused, for what its header says of the client.

        It may be longer than the limit now. Raises HandshakeRefused (431) and OSError.
        """
        self._left += self._limit * (_READ_ON - 1)
        if not self.version and (self._begun_line or self._line_has_come):
            if self._begun_line:
                super().readline()
            self.version = "HTTP/1.1"
        while self.version and not self.ended:
            try:
                self.readline()
            except HandshakeRefused as refusal:
                if refusal.cause is MAX_HEADER_SIZE:
                    raise

    def _look_at(self, beginning: bytes) -> None:
        refusal = None if self.version else no_http(beginning)
        if refusal is not None:
            raise refusal

    def _too_large(self) -> HandshakeRefused:
        if self.version:
            return super()._too_large()
        return HandshakeRefused(414, "URI Too Long", cause=MAX_HEADER_SIZE)
