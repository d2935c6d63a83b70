"""Cuts XML into stanzas, for both directions, and gives back the sender's own bytes.

``ServerStream`` finds the borders in the byte stream of an XMPP server; ``ClientStanzas`` checks
that a WebSocket message is exactly one element. There is no tree and no serialiser here.

Two habits of expat shape this module. An incomplete token may be held back although its rest has
come (reparse deferral: expat 2.6 and patched older ones), so a parser is only ever fed up to the
``>`` that ends a tag. And a parser keeps every name it has seen, so it is replaced, between
stanzas, once it knows many. Most stanzas never reach a parser: see ``shallow_stanza``.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from defusedxml.common import DefusedXmlException

from wsgw.complete_markup import CDATA, CompleteMarkup
from wsgw.errors import SessionError
from wsgw.plain_text import LONG_TEXT, without_plain_text
from wsgw.shallow_stanza import (
    SHALLOW_ATTRIBUTES,
    SHALLOW_DEPTH,
    SHALLOW_SIZE,
    ShallowStanzas,
    shallow_stanzas,
)
from wsgw.stanza_cutter import (
    MAX_NAMES,
    MAX_PARSED,
    SERVER_STANZA_LIMIT,
    TEXT_FIRST,
    StanzaCutter,
    StreamHeader,
    give_back,
    stanza_above,
    take_cutter,
)
from wsgw.xml_parser import (
    MAX_NAMESPACE,
    STREAM,
    WHITESPACE,
    end_of_element,
    long_namespace,
    make_parser,
    not_well_formed,
    parse,
    refused,
    without_declaration,
)

#: How long one of a server's tags may be; see ``stanza_cutter`` for its other limits.
SERVER_TAG_LIMIT = 512 * 1024

_WHITE_SPACE = re.compile(rb"[ \t\r\n]*")


class ClientStanzas:
    """Checks clients' messages, one element each, with one long-lived parser.

    ``root`` is a start tag: the bindings the elements may rely on. In legacy framing that is the
    client's own header; in RFC 7395 framing nothing is bound. Nothing of a message is kept, so
    that one checker serves all sessions of the same bindings and limits; see ``client_stanzas``.
    """

    __slots__ = (
        "_base",
        "_declared",
        "_depth",
        "_end",
        "_max_attributes",
        "_max_depth",
        "_name",
        "_parsed",
        "_parser",
        "_root",
        "_shallow",
        "shared",
    )

    def __init__(self, root: bytes, max_depth: int, max_attributes: int) -> None:
        #: Other sessions may be using it; who is alone with it lets go of its parser.
        self.shared = False
        self._root = root
        allowed = max_depth >= SHALLOW_DEPTH and max_attributes >= SHALLOW_ATTRIBUTES
        self._shallow = shallow_stanzas(root) if allowed else None
        self._max_depth = max_depth
        self._max_attributes = 2 * max_attributes  # expat lists names and values
        self._parser: expat.XMLParserType | None = None
        #: What is to be taken from expat's count for a position in the message.
        self._base = 0
        self._parsed = 0
        self._depth = 0
        #: What the declarations of the element that starts next count for.
        self._declared = 0
        self._name = ""
        #: Where expat saw the message's element end; -1: it has not.
        self._end = -1

    def check(self, text: bytes) -> tuple[str, bytes]:
        """Return (expanded name, bytes) of the one element that ``text`` is.

        A start tag of a stream (a restart in legacy framing) is returned as it stands, unclosed or
        not, with the name ``STREAM``. Raises SessionError.
        """
        if self._shallow is not None and (name := self._shallow.name_of(text)) is not None:
            return name, text
        parser = self._parser or self._new_parser()
        text = text.strip(WHITESPACE)
        if not text.startswith(b"<") or text.startswith((b"<?", CDATA)):
            text = _from_its_element(text)
        self._end = -1
        self._base = self._parsed
        self._parsed += len(text)
        try:
            if len(text) < LONG_TEXT:
                parser.Parse(text)
            else:
                self._parse_without_plain_text(parser, text)
            self._require_one_whole_element(text)
        except StreamHeader:
            self._parser = None
            return STREAM, text
        except (expat.ExpatError, DefusedXmlException, SessionError) as error:
            self._parser = None  # it stands inside the message, and remembers it
            raise refused(error, text, parser.ErrorByteIndex - self._base) from None
        if self._parsed > MAX_PARSED + len(self._root) or len(parser.intern) > MAX_NAMES:
            self._parser = None
        return self._name, text

    def release(self) -> None:
        """A session needs it no more: let go of the parser, which holds this object, unless it is shared."""
        if not self.shared:
            self._parser = None

    def _new_parser(self) -> expat.XMLParserType:
        parser = self._parser = make_parser(self._root)
        parser.StartElementHandler = self._start_element
        parser.EndElementHandler = self._end_element
        parser.StartNamespaceDeclHandler = self._declare
        self._parsed = len(self._root)
        self._depth = self._declared = 0
        return parser

    def _declare(self, _prefix: str | None, uri: str | None) -> None:
        """A namespace declaration of the element that starts next: expat does not list it."""
        self._declared += 2
        if uri is not None and len(uri) > MAX_NAMESPACE:
            raise long_namespace()

    def _start_element(self, name: str, attributes: list[str]) -> None:
        self._depth += 1
        if self._depth == 1:
            if self._end >= 0:
                raise not_well_formed("a message is exactly one element")
            self._name = name
            if name == STREAM:
                raise StreamHeader
        elif self._depth > self._max_depth:
            raise SessionError("policy-violation", "elements nested too deeply")
        if len(attributes) + self._declared > self._max_attributes:
            raise SessionError("policy-violation", "too many attributes")
        self._declared = 0

    def _end_element(self, _name: str) -> None:
        self._depth -= 1
        if not self._depth:
            assert self._parser is not None
            self._end = self._parser.CurrentByteIndex - self._base
        elif self._depth < 0:  # the end of what stands around every message
            raise not_well_formed("a message is exactly one element")

    def _parse_without_plain_text(self, parser: expat.XMLParserType, text: bytes) -> None:
        for piece, left_out in without_plain_text(text):
            self._base -= left_out
            self._parsed -= left_out
            parse(parser, piece)

    def _require_one_whole_element(self, text: bytes) -> None:
        if self._end < 0:
            raise not_well_formed("a message is exactly one element")
        if end_of_element(text, 0, self._end) != len(text):
            raise not_well_formed("text after the element")


def _from_its_element(text: bytes) -> bytes:
    """Return ``text`` without a leading XML declaration; raise SessionError if no element starts it."""
    text = without_declaration(text)
    if not text.startswith(b"<") or text.startswith(CDATA):
        raise not_well_formed("a message starts with its element")
    return text


#: The checkers in use by (root, ``max_depth``, ``max_attributes``), and how many are kept.
_checkers: dict[tuple[bytes, int, int], ClientStanzas] = {}
_MAX_CHECKERS = 64


def client_stanzas(root: bytes, max_depth: int, max_attributes: int) -> ClientStanzas:
    """Return a checker, the same for many sessions; ``release`` it at the end."""
    key = (root, max_depth, max_attributes)
    checker = _checkers.get(key)
    if checker is None:
        if len(_checkers) >= _MAX_CHECKERS:
            oldest = _checkers.pop(next(iter(_checkers)))
            oldest.shared = False
            oldest.release()
        checker = _checkers[key] = ClientStanzas(root, max_depth, max_attributes)
        checker.shared = True
    return checker


class ServerStream:
    """Cuts the bytes of an XMPP server into stream headers, stanzas and the end tag.

    A new stream on the same connection (a restart) is seen in the server's own bytes; nothing the
    client does resets this side.
    """

    __slots__ = ("_bindings", "_cutter", "_markup", "_shallow", "failure", "limit")

    def __init__(self, limit: int = SERVER_STANZA_LIMIT) -> None:
        #: Bytes of one stanza.
        self.limit = limit
        #: Why nothing more can be read from this server.
        self.failure: SessionError | None = None
        self._markup = CompleteMarkup()
        #: Where the stream stands, unless that is between two stanzas.
        self._cutter: StanzaCutter | None = None
        #: What the stream's header binds; empty before it.
        self._bindings = b""
        #: Between two stanzas: recognises what it can of what follows.
        self._shallow: ShallowStanzas | None = None

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Return what ``data`` completes, as (expanded name, bytes) in order.

        A header comes as ``STREAM`` with the bytes of its tag, a stream's end as ``STREAM_END``.
        White space between stanzas is dropped. If the server broke the rules, ``failure`` is set
        and what came before is returned.
        """
        events: list[tuple[str, bytes]] = []
        if self._shallow is not None and not self._markup.held:
            data = self._shallow.take(data, events)
        if data and self.failure is None:
            try:
                chunk = self._markup.feed(data)
                if chunk:
                    self._cut(chunk, events)
                if self._markup.held or self._cutter is not None:
                    self._check_unfinished()
            except SessionError as error:
                # Another one: what was raised holds the frames it came through, and they hold this stream.
                self.failure = SessionError(error.condition, error.text, error.code, error.farewell)
                self._markup.clear()
                self.drop_parser()
        return events

    def drop_parser(self) -> None:
        """Let go of what is under way; nothing more may be fed then."""
        self._shallow = None
        if self._cutter is not None:
            self._cutter.let_go()
            self._cutter = None

    @property
    def at_border(self) -> bool:
        """Whether nothing is under way: everything fed has been given back."""
        return bool(self._bindings) and self._cutter is None and not self._markup.held

    def _cut(self, chunk: bytes, events: list[tuple[str, bytes]]) -> None:
        while chunk:
            cutter = self._cutter
            if cutter is None:
                cutter = self._cutter = take_cutter(self._bindings)
                self._shallow = None
            cutter.limit = self.limit
            chunk = cutter.cut(chunk, events)
            if cutter.restarted:
                self._bindings = b""
                self.drop_parser()
            elif cutter.depth == 1:
                self._bindings = cutter.bindings
                self._cutter = None
                if self.limit >= SHALLOW_SIZE:
                    self._shallow = shallow_stanzas(self._bindings)
                give_back(cutter)

    def _check_unfinished(self) -> None:
        """What waits for more bytes: white space between stanzas goes, the rest is bounded."""
        markup = self._markup
        begun = self._cutter.pending if self._cutter is not None else 0
        if not begun and _WHITE_SPACE.fullmatch(markup.held):
            markup.clear()
        elif not begun and TEXT_FIRST.match(markup.held):
            raise not_well_formed("the server does not speak XML")
        elif markup.refused is not None:
            raise markup.refused
        elif begun + len(markup.held) > self.limit:
            raise stanza_above(self.limit)
        elif markup.unfinished_tag > SERVER_TAG_LIMIT:
            raise SessionError("policy-violation", f"the server sent a tag above {SERVER_TAG_LIMIT} bytes")
