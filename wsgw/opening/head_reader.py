"""Reads the lines of a request head, within a limit, and leaves the bytes after it in the socket's buffer.

``StrictHeadReader`` checks them by ``head_grammar`` before pywsgi parses them.
"""

from __future__ import annotations

from typing import Protocol

from wsgw.errors import HandshakeRefused
from wsgw.errors.refusals import MAX_HEADER_SIZE
from wsgw.opening.head_grammar import check_framing, no_http, parse_field, parse_request_line

_EMPTY = b"\r\n"
#: At most so many times the limit is read of a refused head, to learn the client's address from it.
_READ_ON = 4


class Source(Protocol):
    """The source of the bytes: a ``SocketAsync``."""

    def recv(self) -> bytes:
        """Wait for bytes and return them; empty at the end of the stream."""

    def unread(self, data: bytes) -> None:
        """Put back bytes after the head, which the next ``recv`` returns."""


class HeadReader:
    """Reads lines; refuses more than ``limit`` bytes in total with status 431 (RFC 6585 section 5)."""

    closed = False

    def __init__(self, source: Source, limit: int) -> None:
        self._source = source
        self._limit = self._left = limit
        self._begun = False
        #: The received bytes of a line that is too long.
        self._begun_line = b""

    def readline(self, limit: int = -1) -> bytes:
        """Return one line with its line feed, b"" if the stream ends before the head begins.

        Raises HandshakeRefused (431), and OSError also when the stream ends inside the head.
        """
        line, self._begun_line = self._begun_line, b""
        while not line.endswith(b"\n"):
            chunk = self._source.recv()
            if not chunk:
                if self._begun:
                    raise ConnectionResetError("connection closed inside the request head")
                return b""
            self._begun = True
            self._check_beginning(line + chunk)
            head, newline, rest = chunk.partition(b"\n")
            if rest:
                self._source.unread(rest)
            line += head + newline
            if len(line) > self._left:
                self._begun_line = line
                raise self._too_large()
        self._left -= len(line)
        return line

    def _check_beginning(self, beginning: bytes) -> None:
        """Check the received bytes of a line, and perhaps of the lines after it."""

    def _too_large(self) -> HandshakeRefused:
        return HandshakeRefused(431, "Request Header Fields Too Large", cause=MAX_HEADER_SIZE)

    def read(self, size: int = -1) -> bytes:
        """Return b"": pywsgi asks for a body, which an upgrade request does not have."""
        return b""

    def close(self) -> None:
        """Do nothing: the socket owns the buffer."""


class StrictHeadReader(HeadReader):
    """Reads the lines of a request head, and refuses a head that breaks ``head_grammar``."""

    def __init__(self, source: Source, limit: int) -> None:
        super().__init__(source, limit)
        #: As sent, latin-1; empty before the request line was read.
        self.method = self.target = self.version = ""
        #: (name, value) of each header line in order, repeats kept.
        self.fields: list[tuple[str, str]] = []
        #: Whether the whole head was read: only then the client's address can be found in it.
        self.ended = False
        #: The request line was read, valid or not.
        self._request_line_read = False

    def readline(self, limit: int = -1) -> bytes:
        """Return one line with its line feed, b"" if the stream ends before the head begins.

        When the last line was returned, the whole head is valid. Raises HandshakeRefused (400, 414, 431) for
        an invalid line or head, and OSError.
        """
        line = super().readline(limit)
        if not self.version:
            if line == _EMPTY:  # one empty line is ignored (RFC 9112 section 2.2)
                line = super().readline(limit)
            if line:
                self._request_line_read = True
                self.method, self.target, self.version = parse_request_line(line)
        elif line == _EMPTY:
            self.ended = True
            check_framing(self.version, self.fields)
        else:
            self.fields.append(parse_field(line))
        return line

    def read_on(self) -> None:
        """Read the rest of a refused head, because its headers may give the client's address.

        The head may be longer than the limit now. Raises HandshakeRefused (431) and OSError.
        """
        self._left += self._limit * (_READ_ON - 1)
        if not self.version and (self._begun_line or self._request_line_read):
            if self._begun_line:
                super().readline()
            self.version = "HTTP/1.1"
        while self.version and not self.ended:
            try:
                self.readline()
            except HandshakeRefused as refusal:
                if refusal.cause is MAX_HEADER_SIZE:
                    raise

    def _check_beginning(self, beginning: bytes) -> None:
        refusal = None if self.version else no_http(beginning)
        if refusal is not None:
            raise refusal

    def _too_large(self) -> HandshakeRefused:
        if self.version:
            return super()._too_large()
        return HandshakeRefused(414, "URI Too Long", cause=MAX_HEADER_SIZE)
