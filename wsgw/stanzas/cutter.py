"""Cuts the bytes of an XMPP server into stanzas with expat; all sessions share the parsers.

A stream needs a parser only inside a stanza. Between stanzas, the parsers of all streams whose headers bind
the same prefixes are in the same state: a session returns its parser there, and the next session that
receives bytes from its server takes it. So a session holds no parser (10.6 kB) between stanzas.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn
from xml.parsers import expat

from defusedxml.common import DefusedXmlException

from wsgw.errors import StreamError
from wsgw.stanzas.parser import (
    ELEMENT_NAME,
    FIRST_LINE,
    MAX_NAMESPACE,
    MISPLACED_DECLARATION,
    STREAM,
    WHITESPACE,
    attribute,
    costly_tag,
    end_of_element,
    end_of_tag,
    long_namespace,
    make_parser,
    not_well_formed,
    parse,
    refused,
)
from wsgw.stanzas.plain_text import LONG_TEXT, without_plain_text
from wsgw.stanzas.start_tag import without_declaration

#: The event of a stream's closing tag; no element can have this name.
STREAM_END = ""

#: A parser that has interned this many names, or parsed this many bytes, is replaced between stanzas. A new
#: one costs as much as a few stanzas. The second bound is for the prefixes and the spellings of one
#: name that expat keeps without listing them: up to seven bytes for each byte parsed.
MAX_NAMES = 512
MAX_PARSED = 256 * 1024
#: Bytes of one stanza of a server, by default: a roster of ten thousand contacts is about 2 MiB.
SERVER_STANZA_LIMIT = 8 * 1024 * 1024


class Bounds(NamedTuple):
    """How deep a stanza's elements may nest, itself being level 1, and how many names they may use."""

    depth: int
    names: float


#: Bytes up to which a stanza is held to the bounds ``SMALL``. Browsers' parsers fail at a depth of 5 000.
SMALL_SIZE = 1024 * 1024
#: A stanza with a tag above this number of bytes counts as too large.
TAG_LIMIT = 512 * 1024
SMALL = Bounds(4000, float("inf"))
#: The bounds of a larger stanza, which could make a parser take hundreds of megabytes.
LARGE = Bounds(1000, 16 * 1024)

#: Text other than white space comes before the first markup.
TEXT_FIRST = re.compile(rb"[ \t\r\n]*[^ \t\r\n<]")
_NO_EVENTS: list[tuple[str, bytes]] = []
_BEGINS_ELEMENT = re.compile(rb"<[^!?/]")


class StreamHeader(Exception):
    """A start tag of a stream comes instead of a stanza. A handler raises this to stop the parser."""


class StanzaRefused(Exception):
    """The current stanza is not for a parser with namespaces. A handler raises this to stop the parser."""


class StanzaCutter:
    """One parser, and its position in the stream that it parses."""

    __slots__ = (
        "_base",
        "_border",
        "_chunk",
        "_declared",
        "_deep",
        "_events",
        "_name",
        "_parsed",
        "_parsed_at_most",
        "_parser",
        "_pending",
        "_start",
        "bindings",
        "depth",
        "exhausted",
        "limit",
        "refused",
        "restarted",
    )

    def __init__(self, bindings: bytes = b"") -> None:
        #: A start tag with the namespace declarations of the stream's header; empty before a header.
        self.bindings = bindings
        #: Open elements: 0 before the header and after the end, 1 between stanzas.
        self.depth = 1 if bindings else 0
        #: Bytes that one stanza may have.
        self.limit = SERVER_STANZA_LIMIT
        #: A new stream has begun: it needs a new cutter.
        self.restarted = False
        #: This cutter cannot parse the current stanza: ``repair`` must.
        self.refused = False
        #: The parser has reached ``MAX_NAMES`` or ``MAX_PARSED``: no other session may get it.
        self.exhausted = False
        first = bindings or FIRST_LINE
        self._parsed = len(first)
        self._parsed_at_most = len(first) + MAX_PARSED
        self._base = 0
        self._chunk = b""
        self._events = _NO_EVENTS
        #: The bytes of the current stanza from earlier chunks.
        self._pending = bytearray()
        #: Where the current stanza starts in the chunk; -1 if it started in an earlier one, or if none has.
        self._start = -1
        self._name = ""
        #: A stanza was nested more deeply than a large one may be.
        self._deep = False
        #: The position in the chunk after the last stanza or header.
        self._border = 0
        self._declared = ""
        parser = self._parser = make_parser(first)
        parser.StartElementHandler = self._start_element
        parser.EndElementHandler = self._end_element
        parser.StartNamespaceDeclHandler = self._declare

    @property
    def pending(self) -> bytearray:
        """The bytes of the current stanza so far."""
        return self._pending

    def cut(self, chunk: bytes, events: list[tuple[str, bytes]]) -> bytes:
        """Append to ``events`` the (expanded name, bytes) of each stanza that ``chunk`` completes.

        ``chunk`` ends after complete markup. A stream's header is an event too, with the name ``STREAM``, and
        so is its end, with the name ``STREAM_END``. Returns b"" normally. When a new stream begins
        (``restarted``) or a stanza is refused (``refused``), returns the bytes from its first one on, and the
        cutter must not be used again. Raises StreamError for bytes that are no XMPP stream (RFC 6120 section
        4.9.3).
        """
        if not self.depth:
            chunk = self._without_declaration(chunk)
        self._chunk = chunk
        self._events = events
        self._base = self._parsed
        self._parsed += len(chunk)
        self._border = 0
        if self.depth > 1:
            self._start = -1
        try:
            if len(chunk) < LONG_TEXT:
                self._parser.Parse(chunk)
            else:
                self._parse_long(chunk)
        except StreamHeader:
            self.restarted = True
            return chunk[self._start :]
        except StanzaRefused:
            return self._refuse()
        except (expat.ExpatError, DefusedXmlException) as error:
            return self._after(error)
        if self.depth > 1:
            begun = chunk[max(self._start, 0) :]
            if len(self._pending) + len(begun) > SMALL_SIZE and self._is_crowded():
                return self._refuse()
            self._pending += begun
        elif self.depth:
            if self._border != len(chunk):
                self._require_white_space(len(chunk))
            crowded = self._deep or len(self._parser.intern) > MAX_NAMES
            self.exhausted = crowded or self._parsed > self._parsed_at_most
        # A session inside a stanza keeps its cutter, which must not keep the chunk and the events as well.
        self._chunk, self._events = b"", _NO_EVENTS
        return b""

    def _without_declaration(self, chunk: bytes) -> bytes:
        """Return ``chunk`` without the XML declaration that may precede a stream (RFC 6120 section 11.5)."""
        chunk = chunk.lstrip(WHITESPACE)
        if TEXT_FIRST.match(chunk):
            raise not_well_formed("the server does not speak XML")
        if self._parsed == len(FIRST_LINE) and chunk.startswith(b"<?xml"):
            return FIRST_LINE + without_declaration(chunk)
        return chunk

    def release(self) -> None:
        """Break the reference cycle of this object and its parser, which refers to its methods."""
        parser = self._parser
        parser.StartElementHandler = parser.EndElementHandler = parser.StartNamespaceDeclHandler = None

    def _after(self, error: Exception) -> bytes:
        """Return the bytes from a new stream or a refused stanza on, at which the parser raised ``error``."""
        chunk = self._chunk
        position = self._parser.ErrorByteIndex - self._base
        if self.depth > 1:
            return self._refuse()
        if self.depth:
            if getattr(error, "code", None) == MISPLACED_DECLARATION:
                self._require_white_space(position)
                self.restarted = True
                return chunk[position:]
            rest = chunk[self._border :].lstrip(WHITESPACE)
            if _BEGINS_ELEMENT.match(rest):
                self.refused = True
                return rest
        raise refused(error, chunk, position) from None

    def _refuse(self) -> bytes:
        self.refused = True
        return bytes(self._pending) + self._chunk[max(self._start, 0) :]

    def _is_crowded(self) -> bool:
        """Whether the stanza exceeds the bounds ``LARGE``."""
        return self._deep or len(self._parser.intern) > LARGE.names

    def _parse_long(self, chunk: bytes) -> None:
        """Parse ``chunk`` without its plain text; stop at a costly tag."""
        place = costly_tag(chunk)
        cheap = chunk if place < 0 else chunk[:place]
        if self.depth:
            for piece, left_out in without_plain_text(cheap):
                self._base -= left_out
                self._parsed -= left_out
                parse(self._parser, piece)
        else:
            parse(self._parser, cheap)
        if place >= 0:
            self._refuse_namespace(place)

    def _refuse_namespace(self, place: int) -> NoReturn:
        """Stop at a tag with a namespace that is too long; it starts at ``place`` in the chunk."""
        if self.depth == 1:
            self._start = place
            self._require_white_space(place)
        raise StanzaRefused if self.depth else long_namespace()

    def _require_white_space(self, end: int) -> None:
        """Require white space from the last stanza to ``end`` (RFC 6120 section 11.7); raise SessionError."""
        if end != self._border and self._chunk[self._border : end].strip(WHITESPACE):
            raise not_well_formed("text between stanzas")

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        """Handle a namespace declaration of the element that starts next."""
        if uri is not None and len(uri) > MAX_NAMESPACE:
            self._refuse_namespace(self._parser.CurrentByteIndex - self._base)
        if not self.depth:
            self._declared += attribute(f"xmlns:{prefix}" if prefix else "xmlns", uri or "")

    def _start_element(self, name: str, _attributes: list[str]) -> None:
        self.depth += 1
        if self.depth == 2:
            start = self._start = self._parser.CurrentByteIndex - self._base
            if start != self._border:
                self._require_white_space(start)
            if name == STREAM:
                raise StreamHeader
            self._name = name
        elif self.depth == 1:
            self._take_header(name)
        elif self.depth > LARGE.depth + 1:
            self._deep = True
            if self.depth > SMALL.depth + 1:
                raise StanzaRefused

    def _take_header(self, name: str) -> None:
        if name != STREAM:
            raise StreamError("invalid-namespace", "the server does not open an XMPP stream")
        start = self._parser.CurrentByteIndex - self._base
        self._border = end_of_tag(self._chunk, start)
        tag = self._chunk[start : self._border]
        written = ELEMENT_NAME.match(tag)
        assert written is not None
        self.bindings = written[0] + self._declared.encode() + b">"
        self._events.append((STREAM, tag))

    def _end_element(self, _name: str) -> None:
        self.depth -= 1
        if self.depth == 1:
            chunk, start = self._chunk, self._start
            end = end_of_element(chunk, start, self._parser.CurrentByteIndex - self._base)
            stanza = chunk[start if start > 0 else 0 : end]
            if self._pending:
                stanza = bytes(self._pending + stanza)
            size = len(stanza)
            if size > self.limit or (size > SMALL_SIZE and self._is_crowded()):
                raise StanzaRefused
            self._pending.clear()
            self._events.append((self._name, stanza))
            self._border = end
        elif not self.depth:
            self._require_white_space(self._parser.CurrentByteIndex - self._base)
            self._events.append((STREAM_END, b""))
