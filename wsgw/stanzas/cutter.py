"""Cuts what an XMPP server sends into stanzas with expat; the parsers serve every session in turn.

A parser is needed only while something is under way in it. Between stanzas it stands at the same
place in every stream whose header binds the same prefixes: it is given back there, and the next
session that hears of its server takes it. So a session holds no parser (10.6 kB) between stanzas.
"""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn
from xml.parsers import expat

from defusedxml.common import DefusedXmlException

from wsgw.errors import StreamError
from wsgw.stanzas.parser import (
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

#: A parser that has interned this many names, or parsed this much, is replaced at a border. A new
#: one costs as much as a few stanzas. The second bound is for the prefixes and the spellings of one
#: name that expat keeps without telling: up to seven bytes for each byte parsed.
MAX_NAMES = 512
MAX_PARSED = 256 * 1024
#: What a server may send as one stanza: a roster of ten thousand contacts is about 2 MiB.
SERVER_STANZA_LIMIT = 8 * 1024 * 1024


class Bounds(NamedTuple):
    """How deep a stanza's elements may nest, its own being the first, and how many names they may have."""

    depth: int
    names: float


#: A stanza of up to so many bytes may hold anything that browsers follow: they give up at a depth of 5 000.
ANYTHING_UP_TO = 1024 * 1024
#: A stanza with a tag above so many bytes counts as too large.
TAG_LIMIT = 512 * 1024
SMALL = Bounds(4000, float("inf"))
#: A larger one could make a parser take hundreds of megabytes.
LARGE = Bounds(1000, 16 * 1024)

#: What is no white space stands before the first markup.
TEXT_FIRST = re.compile(rb"[ \t\r\n]*[^ \t\r\n<]")
_NO_EVENTS: list[tuple[str, bytes]] = []
_BEGINS_ELEMENT = re.compile(rb"<[^!?/]")
_TAG_NAME = re.compile(rb"<[^\s/>]+")


class StreamHeader(Exception):
    """A start tag of a stream where a stanza may stand; leaves the parser at once."""


class StanzaRefused(Exception):
    """The stanza under way is not for a parser with namespaces; leaves it at once."""


class StanzaCutter:
    """One parser, and where it stands in the stream it is fed."""

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
        #: A start tag that binds what the stream's header does; empty before a header.
        self.bindings = bindings
        #: Open elements: 0 before the header and after the end, 1 between stanzas.
        self.depth = 1 if bindings else 0
        #: Bytes of one stanza.
        self.limit = SERVER_STANZA_LIMIT
        #: A new stream has begun, which this cutter cannot follow.
        self.restarted = False
        #: A stanza has come that this cutter cannot judge; see ``repair``.
        self.refused = False
        #: The parser has seen so much that it must be replaced at the next border.
        self.exhausted = False
        first = bindings or FIRST_LINE
        self._parsed = len(first)
        self._parsed_at_most = len(first) + MAX_PARSED
        self._base = 0
        self._chunk = b""
        self._events = _NO_EVENTS
        #: What has come of a stanza in earlier chunks.
        self._pending = bytearray()
        #: Where the stanza under way starts in the chunk; -1: in an earlier one, or none.
        self._start = -1
        self._name = ""
        #: A stanza has come that is nested more deeply than a large one may be.
        self._deep = False
        #: Where what follows the last stanza or header in the chunk begins.
        self._border = 0
        self._declared = ""
        parser = self._parser = make_parser(first)
        parser.StartElementHandler = self._start_element
        parser.EndElementHandler = self._end_element
        parser.StartNamespaceDeclHandler = self._declare

    @property
    def pending(self) -> bytearray:
        """What has come of the stanza under way."""
        return self._pending

    def cut(self, chunk: bytes, events: list[tuple[str, bytes]]) -> bytes:
        """Add to ``events`` what ``chunk``, which ends in complete markup, completes.

        Returns what is left when a new stream begins or a stanza is refused, from its first byte on: this one
        is of no more use then. Raises StreamError for what breaks the stream's own rules.
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
            if len(self._pending) + len(begun) > ANYTHING_UP_TO and self._is_crowded():
                return self._refuse()
            self._pending += begun
        elif self.depth:
            if self._border != len(chunk):
                self._require_white_space(len(chunk))
            crowded = self._deep or len(self._parser.intern) > MAX_NAMES
            self.exhausted = crowded or self._parsed > self._parsed_at_most
        # A session that is not read on keeps its cutter: not also what it has given away.
        self._chunk, self._events = b"", _NO_EVENTS
        return b""

    def _without_declaration(self, chunk: bytes) -> bytes:
        """``chunk``, which begins outside the stream's element; only there may an XML declaration stand."""
        chunk = chunk.lstrip(WHITESPACE)
        if TEXT_FIRST.match(chunk):
            raise not_well_formed("the server does not speak XML")
        if self._parsed == len(FIRST_LINE) and chunk.startswith(b"<?xml"):
            return FIRST_LINE + without_declaration(chunk)
        return chunk

    def let_go(self) -> None:
        """Break what holds itself: the parser holds this object's methods."""
        parser = self._parser
        parser.StartElementHandler = parser.EndElementHandler = parser.StartNamespaceDeclHandler = None

    def _after(self, error: Exception) -> bytes:
        """What is left after an error of the parser's: a new stream or a stanza begins where it stands."""
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
        """Whether the stanza may hold more than a large one may."""
        return self._deep or len(self._parser.intern) > LARGE.names

    def _parse_long(self, chunk: bytes) -> None:
        """Parse ``chunk`` without its plain text; give up at a costly tag."""
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
        """Give up at a tag with a namespace that is too long; ``place`` is where that starts in the chunk."""
        if self.depth == 1:
            self._start = place
            self._require_white_space(place)
        raise StanzaRefused if self.depth else long_namespace()

    def _require_white_space(self, end: int) -> None:
        """Between stanzas there is nothing else (RFC 6120 section 11.7); ``end`` is where it ends."""
        if end != self._border and self._chunk[self._border : end].strip(WHITESPACE):
            raise not_well_formed("text between stanzas")

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        """A namespace declaration of the element that starts next."""
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
        written = _TAG_NAME.match(tag)
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
            if size > self.limit or (size > ANYTHING_UP_TO and self._is_crowded()):
                raise StanzaRefused
            self._pending.clear()
            self._events.append((self._name, stanza))
            self._border = end
        elif not self.depth:
            self._require_white_space(self._parser.CurrentByteIndex - self._base)
            self._events.append((STREAM_END, b""))
