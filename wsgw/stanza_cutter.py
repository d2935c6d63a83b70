"""Cuts what an XMPP server sends into stanzas with expat; the parsers serve every session in turn.

A parser is needed only while something is under way in it. Between stanzas it stands at the same
place in every stream whose header binds the same prefixes: it is given back there, and the next
session that hears of its server takes it. So a session holds no parser (10.6 kB) between stanzas.
"""

from __future__ import annotations

import re
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from defusedxml.common import DefusedXmlException

from wsgw.errors import SessionError
from wsgw.plain_text import LONG_TEXT, without_plain_text
from wsgw.xml_parser import (
    FIRST_LINE,
    MAX_NAMESPACE,
    MISPLACED_DECLARATION,
    STREAM,
    WHITESPACE,
    end_of_element,
    end_of_tag,
    long_namespace,
    make_parser,
    not_well_formed,
    parse,
    refused,
    without_declaration,
)

#: The event of a stream's closing tag; no element can have this name.
STREAM_END = ""

#: A parser that has interned this many names, or parsed this much, is replaced at a border. A new
#: one costs as much as a few stanzas. The second bound is for the prefixes and the spellings of one
#: name that expat keeps without telling: up to seven bytes for each byte parsed.
MAX_NAMES = 512
MAX_PARSED = 256 * 1024
#: What a server may send as one stanza: a roster of ten thousand contacts is about 2 MiB.
SERVER_STANZA_LIMIT = 8 * 1024 * 1024
#: Beside its size: how deep a server's elements may nest, and how many names one stanza may bring.
#: Within eight megabytes a server could else make expat take hundreds.
SERVER_MAX_DEPTH = 1000
_MAX_NAMES_IN_STANZA = 16 * 1024

#: What is no white space stands before the first markup.
TEXT_FIRST = re.compile(rb"[ \t\r\n]*[^ \t\r\n<]")
_NO_EVENTS: list[tuple[str, bytes]] = []
_TAG_NAME = re.compile(rb"<[^\s/>]+")

#: Cutters that nobody uses, by what their stream's header binds; kept at most, of one kind and of all.
_idle: dict[bytes, list[StanzaCutter]] = {}
_MAX_IDLE = 8
_MAX_KINDS = 64


class StreamHeader(Exception):
    """A start tag of a stream where a stanza may stand; leaves the parser at once."""


class StanzaCutter:
    """One parser, and where it stands in the stream it is fed."""

    __slots__ = (
        "_base",
        "_border",
        "_chunk",
        "_declared",
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
        #: Where what follows the last stanza or header in the chunk begins.
        self._border = 0
        self._declared = ""
        parser = self._parser = make_parser(first)
        parser.StartElementHandler = self._start_element
        parser.EndElementHandler = self._end_element
        parser.StartNamespaceDeclHandler = self._declare

    @property
    def pending(self) -> int:
        """Bytes of the stanza under way."""
        return len(self._pending)

    def cut(self, chunk: bytes, events: list[tuple[str, bytes]]) -> bytes:
        """Add to ``events`` what ``chunk``, which ends in complete markup, completes.

        Returns what is left when a new stream begins, which takes another cutter. Raises
        SessionError; this one is of no more use then either.
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
            elif self.depth:
                self._parse_without_plain_text(chunk)
            else:
                parse(self._parser, chunk)
        except StreamHeader:
            self.restarted = True
            return chunk[self._start :]
        except (expat.ExpatError, DefusedXmlException) as error:
            position = self._parser.ErrorByteIndex - self._base
            if getattr(error, "code", None) != MISPLACED_DECLARATION or self.depth != 1:
                raise refused(error, chunk, position) from None
            self._require_white_space(position)
            self.restarted = True
            return chunk[position:]
        if self.depth > 1:
            self._keep_begun_stanza()
        elif self.depth:
            if self._border != len(chunk):
                self._require_white_space(len(chunk))
            self.exhausted = self._parsed > self._parsed_at_most or len(self._parser.intern) > MAX_NAMES
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

    def _parse_without_plain_text(self, chunk: bytes) -> None:
        for piece, left_out in without_plain_text(chunk):
            self._base -= left_out
            self._parsed -= left_out
            parse(self._parser, piece)

    def _keep_begun_stanza(self) -> None:
        self._pending += self._chunk[max(self._start, 0) :]
        if len(self._parser.intern) > _MAX_NAMES_IN_STANZA:
            raise _too_much("a stanza of too many names")

    def _require_white_space(self, end: int) -> None:
        """Between stanzas there is nothing else (RFC 6120 section 11.7); ``end`` is where it ends."""
        if end != self._border and self._chunk[self._border : end].strip(WHITESPACE):
            raise not_well_formed("text between stanzas")

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        """A namespace declaration of the element that starts next."""
        if uri is not None and len(uri) > MAX_NAMESPACE:
            raise long_namespace()
        if not self.depth:
            self._declared += f" xmlns{':' if prefix else ''}{prefix or ''}={quoteattr(uri or '')}"

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
        elif self.depth > SERVER_MAX_DEPTH:
            raise _too_much("elements nested too deeply")

    def _take_header(self, name: str) -> None:
        if name != STREAM:
            raise SessionError("invalid-namespace", "the server does not open an XMPP stream")
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
                self._pending.clear()
            if len(stanza) > self.limit:
                raise stanza_above(self.limit)
            self._events.append((self._name, stanza))
            self._border = end
        elif not self.depth:
            self._require_white_space(self._parser.CurrentByteIndex - self._base)
            self._events.append((STREAM_END, b""))


def take_cutter(bindings: bytes) -> StanzaCutter:
    """Return a cutter that stands between the stanzas of a stream with these ``bindings``."""
    idle = _idle.get(bindings)
    return idle.pop() if idle else StanzaCutter(bindings)


def give_back(cutter: StanzaCutter) -> None:
    """Let others use a cutter that stands between stanzas, unless its parser must be replaced."""
    bindings = cutter.bindings
    if not cutter.exhausted:
        idle = _idle.get(bindings)
        if idle is None:
            idle = _new_kind(bindings)
        if len(idle) < _MAX_IDLE:
            idle.append(cutter)
            return
    cutter.let_go()


def _new_kind(bindings: bytes) -> list[StanzaCutter]:
    if len(_idle) >= _MAX_KINDS:
        for unused in _idle.pop(next(iter(_idle))):
            unused.let_go()
    idle = _idle[bindings] = []
    return idle


def stanza_above(limit: int) -> SessionError:
    """The error for a server's stanza that is too large."""
    return _too_much(f"a stanza above {limit} bytes")


def _too_much(what: str) -> SessionError:
    return SessionError("policy-violation", f"the server sent {what}")
