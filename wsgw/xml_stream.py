"""Cuts XML into stanzas, for both directions, and gives back the sender's own bytes.

``ServerStream`` finds the borders in the byte stream of an XMPP server; ``ClientStanzas`` checks
that a WebSocket message is exactly one element. There is no tree and no serialiser here.

Two habits of expat shape this module. An incomplete token may be held back although its rest has
come (reparse deferral: expat 2.6 and patched older ones), so a parser is only ever fed up to the
``>`` that ends a tag. And a parser keeps every name it has seen, so it is replaced, between
stanzas, once it knows many.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from defusedxml.common import DefusedXmlException

from wsgw.complete_markup import CDATA, CompleteMarkup
from wsgw.errors import SessionError
from wsgw.xml_parser import (
    MISPLACED_DECLARATION,
    STREAM,
    WHITESPACE,
    end_of_element,
    end_of_tag,
    make_parser,
    not_well_formed,
    parse,
    refuse_long_namespace,
    refused,
    without_declaration,
)

#: The event of a stream's closing tag; no element can have this name.
STREAM_END = ""

#: A parser that has interned this many names, or parsed this much, is replaced at a border. A new
#: one costs as much as a few stanzas. The second bound is for the prefixes and the spellings of one
#: name that expat keeps without telling: up to seven bytes for each byte parsed.
_MAX_NAMES = 512
_MAX_PARSED = 256 * 1024
#: What a server may send as one stanza: a roster of ten thousand contacts is about 2 MiB.
SERVER_STANZA_LIMIT = 8 * 1024 * 1024
#: Beside its size: how deep a server's elements may nest, how long one of its tags may be, and how many
#: names one stanza may bring. Within eight megabytes a server could else make expat take hundreds.
SERVER_MAX_DEPTH = 1000
SERVER_TAG_LIMIT = 512 * 1024
_MAX_NAMES_IN_STANZA = 16 * 1024

_WHITE_SPACE = re.compile(rb"[ \t\r\n]*")
#: What is no white space stands before the first markup; or UTF-16, which expat takes whatever it is told.
_TEXT_FIRST = re.compile(rb"[ \t\r\n]*(?:[^ \t\r\n<]|<\x00)")


class _StreamHeader(Exception):
    """A start tag of a stream where a stanza may stand; leaves the parser at once."""


class ClientStanzas:
    """Checks the messages of one client, one element each, with one long-lived parser.

    ``root`` is a start tag: the bindings the elements may rely on. In legacy framing that is the
    client's own header; in RFC 7395 framing nothing is bound.
    """

    __slots__ = (
        "_declared",
        "_depth",
        "_end",
        "_max_attributes",
        "_max_depth",
        "_name",
        "_opened",
        "_parsed",
        "_parser",
        "_root",
    )

    def __init__(self, root: bytes, max_depth: int, max_attributes: int) -> None:
        self._root = root
        self._max_depth = max_depth
        self._max_attributes = 2 * max_attributes  # expat lists names and values
        self._parser: expat.XMLParserType | None = None
        self._parsed = 0
        self._reset()

    def _reset(self) -> None:
        self._depth = 0
        self._opened = 0
        self._declared = 0
        self._name = ""
        self._end = -1

    def check(self, text: bytes) -> tuple[str, bytes]:
        """Return (expanded name, bytes) of the one element that ``text`` is.

        A start tag of a stream (a restart in legacy framing) is returned as it stands, unclosed or
        not, with the name ``STREAM``. Raises SessionError; the checker is then of no more use.
        """
        parser = self._parser or self._new_parser()
        self._reset()
        text = text.strip(WHITESPACE)
        if text.startswith(b"<?"):
            text = without_declaration(text)
        if not text.startswith(b"<") or text.startswith(CDATA):
            raise not_well_formed("a message starts with its element")
        before = self._parsed
        self._parsed += len(text)
        try:
            parse(parser, text)
        except _StreamHeader:
            self._parser = None
            return STREAM, text
        except (expat.ExpatError, DefusedXmlException, SessionError) as error:
            self._parser = None  # and what the message made it remember
            raise refused(error, text, parser.ErrorByteIndex - before) from None
        self._require_one_whole_element(text, self._end - before)
        if self._parsed > _MAX_PARSED + len(self._root) or len(parser.intern) > _MAX_NAMES:
            self._parser = None
        return self._name, text

    def drop_parser(self) -> None:
        """Let go of the parser, which holds this object; the next message would make a new one."""
        self._parser = None

    def _new_parser(self) -> expat.XMLParserType:
        parser = self._parser = make_parser()
        parser.Parse(self._root)
        parser.StartElementHandler = self._start_element
        parser.EndElementHandler = self._end_element
        parser.StartNamespaceDeclHandler = self._declare
        self._parsed = len(self._root)
        return parser

    def _declare(self, _prefix: str | None, uri: str | None) -> None:
        """A namespace declaration of the element that starts next: expat does not list it."""
        self._declared += 2
        refuse_long_namespace(uri)

    def _start_element(self, name: str, attributes: list[str]) -> None:
        self._depth += 1
        if self._depth == 1:
            self._opened += 1
            self._name = name
            if name == STREAM:
                raise _StreamHeader
        elif self._depth > self._max_depth:
            raise SessionError("policy-violation", "elements nested too deeply")
        if len(attributes) + self._declared > self._max_attributes:
            raise SessionError("policy-violation", "too many attributes")
        self._declared = 0

    def _end_element(self, _name: str) -> None:
        self._depth -= 1
        if not self._depth:
            assert self._parser is not None
            self._end = self._parser.CurrentByteIndex

    def _require_one_whole_element(self, text: bytes, end: int) -> None:
        """``end`` is where expat saw the element end: at its end tag, or after an empty one."""
        if self._opened != 1 or self._depth:
            raise not_well_formed("a message is exactly one element")
        if end == len(text):
            return
        if text[end : end + 2] != b"</" or text.find(b">", end) != len(text) - 1:
            raise not_well_formed("text after the element")


class ServerStream:
    """Cuts the bytes of an XMPP server into stream headers, stanzas and the end tag.

    A new stream on the same connection (a restart) is seen in the server's own bytes; nothing the
    client does resets this side.
    """

    __slots__ = (
        "_base",
        "_border",
        "_chunk",
        "_depth",
        "_events",
        "_markup",
        "_name",
        "_parsed",
        "_parser",
        "_pending",
        "_restart",
        "_root",
        "_start",
        "failure",
        "limit",
    )

    def __init__(self, limit: int = SERVER_STANZA_LIMIT) -> None:
        #: Bytes of one stanza.
        self.limit = limit
        #: Why nothing more can be read from this server.
        self.failure: SessionError | None = None
        self._markup = CompleteMarkup()
        self._pending = bytearray()
        self._events: list[tuple[str, bytes]] = []
        self._chunk = b""
        self._root = b""
        self._parsed = 0
        self._base = 0
        self._forget_stream()

    def _forget_stream(self) -> None:
        self._parser: expat.XMLParserType | None = None
        self._depth = 0
        #: Where the stanza under way starts in the chunk; -1: in an earlier one, or none.
        self._start = -1
        self._name = ""
        #: Where what follows the last stanza or header in the chunk begins.
        self._border = 0
        #: Where the next stream starts in the chunk; -1: nowhere.
        self._restart = -1

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Return what ``data`` completes, as (expanded name, bytes) in order.

        A header comes as ``STREAM`` with the bytes of its tag, a stream's end as ``STREAM_END``.
        White space between stanzas is dropped. If the server broke the rules, ``failure`` is set
        and what came before is returned.
        """
        events: list[tuple[str, bytes]] = []
        self._events = events
        if self.failure is None:
            try:
                chunk = self._markup.feed(data)
                while chunk:
                    chunk = self._parse(chunk)
                self._check_held()
            except SessionError as error:
                self.failure = error
                self._forget_stream()
                self._markup.clear()
                self._pending.clear()
        return events

    def drop_parser(self) -> None:
        """Let go of the parser, which holds this object; nothing more may be fed between two borders."""
        self._parser = None

    @property
    def at_border(self) -> bool:
        """Whether nothing is under way: everything fed has been given back."""
        return self._depth == 1 and not self._markup.held

    def _check_held(self) -> None:
        """What waits for more bytes: white space between stanzas goes, the rest is bounded."""
        markup = self._markup
        if not markup.held and not self._pending:
            return
        if self._depth <= 1 and _WHITE_SPACE.fullmatch(markup.held):
            markup.clear()
        elif self._depth <= 1 and _TEXT_FIRST.match(markup.held):
            raise not_well_formed("the server does not speak XML")
        elif markup.refused is not None:
            raise markup.refused
        else:
            self._check_size(len(self._pending) + len(markup.held))
            if markup.unfinished_tag > SERVER_TAG_LIMIT:
                raise _too_much(f"a tag above {SERVER_TAG_LIMIT} bytes")

    def _check_size(self, size: int) -> None:
        if size > self.limit:
            raise _too_much(f"a stanza above {self.limit} bytes")

    def _parse(self, chunk: bytes) -> bytes:
        """Parse up to the end, or to where a new stream begins; return what is left from there."""
        if not self._depth:
            chunk = chunk.lstrip(WHITESPACE)
            if _TEXT_FIRST.match(chunk):
                raise not_well_formed("the server does not speak XML")
        parser = self._parser or self._new_parser()
        self._chunk = chunk
        self._base = self._parsed
        self._parsed += len(chunk)
        self._border = 0
        if self._depth > 1:
            self._start = -1
        try:
            parse(parser, chunk)
        except _StreamHeader:
            return self._begin_stream()
        except (expat.ExpatError, DefusedXmlException) as error:
            position = parser.ErrorByteIndex - self._base
            if getattr(error, "code", None) != MISPLACED_DECLARATION or self._depth != 1:
                raise refused(error, chunk, position) from None
            self._restart = position
            self._require_white_space(position)
            return self._begin_stream()
        self._keep_unfinished()
        self._chunk = b""
        return b""

    def _keep_unfinished(self) -> None:
        names = len(self._parser.intern) if self._parser else 0
        if self._depth > 1:
            self._pending += self._chunk[max(self._start, 0) :]
            if names > _MAX_NAMES_IN_STANZA:
                raise _too_much("a stanza of too many names")
            return
        if self._depth:
            self._require_white_space(len(self._chunk))
        if self._parsed > _MAX_PARSED + len(self._root) or names > _MAX_NAMES:
            self._parser = None

    def _require_white_space(self, end: int) -> None:
        """Between stanzas there is nothing else (RFC 6120 section 11.7); ``end`` is where it ends."""
        if end != self._border and self._chunk[self._border : end].strip(WHITESPACE):
            raise not_well_formed("text between stanzas")

    def _begin_stream(self) -> bytes:
        rest = self._chunk[self._restart :]
        self._chunk = b""
        self._forget_stream()
        return rest

    def _new_parser(self) -> expat.XMLParserType:
        """Make a parser that stands where this stream stands: at its start, or between stanzas."""
        parser = self._parser = make_parser()
        self._parsed = 0
        if self._depth:
            parser.Parse(self._root)
            self._parsed = len(self._root)
        parser.StartElementHandler = self._start_element
        parser.EndElementHandler = self._end_element
        parser.StartNamespaceDeclHandler = _refuse_long_namespace_of_server
        return parser

    def _position(self) -> int:
        assert self._parser is not None
        return self._parser.CurrentByteIndex - self._base

    def _start_element(self, name: str, _attributes: list[str]) -> None:
        self._depth += 1
        if self._depth == 2:
            self._start = self._position()
            self._require_white_space(self._start)
            if name == STREAM:
                self._restart = self._start
                raise _StreamHeader
            self._name = name
        elif self._depth == 1:
            self._take_header(name)
        elif self._depth > SERVER_MAX_DEPTH:
            raise _too_much("elements nested too deeply")

    def _take_header(self, name: str) -> None:
        if name != STREAM:
            raise SessionError("invalid-namespace", "the server does not open an XMPP stream")
        start = self._position()
        self._border = end_of_tag(self._chunk, start)
        self._root = self._chunk[start : self._border]
        self._events.append((STREAM, self._root))

    def _end_element(self, _name: str) -> None:
        self._depth -= 1
        if self._depth == 1:
            end = end_of_element(self._chunk, self._start, self._position())
            stanza = self._chunk[max(self._start, 0) : end]
            if self._pending:
                stanza = bytes(self._pending + stanza)
                self._pending.clear()
            self._check_size(len(stanza))
            self._events.append((self._name, stanza))
            self._border = end
        elif not self._depth:
            self._require_white_space(self._position())
            self._events.append((STREAM_END, b""))


def _too_much(what: str) -> SessionError:
    return SessionError("policy-violation", f"the server sent {what}")


def _refuse_long_namespace_of_server(_prefix: str | None, uri: str | None) -> None:
    refuse_long_namespace(uri)
