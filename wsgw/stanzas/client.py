"""Checks that a client's message is exactly one element, and returns the client's own bytes.

No tree is built and nothing is serialised. A message that is not namespace-well-formed is refused (RFC 6120
section 11.3), however long its namespaces are.
"""

from __future__ import annotations

from xml.parsers import expat

from defusedxml.common import DefusedXmlException

from wsgw.errors import SessionError, causes
from wsgw.stanzas.cutter import MAX_NAMES, MAX_PARSED, StreamHeader
from wsgw.stanzas.fast_path import common_stanzas
from wsgw.stanzas.namespaces import Namespaces
from wsgw.stanzas.parser import (
    CDATA,
    FIRST_LINE,
    MAX_NAMESPACE,
    STREAM,
    WHITESPACE,
    costly_tag,
    end_of_element,
    make_parser,
    not_well_formed,
    parse,
    refused,
)
from wsgw.stanzas.plain_text import LONG_TEXT, without_plain_text
from wsgw.stanzas.start_tag import without_declaration


class LongNamespace(Exception):
    """A namespace is too long for a parser with namespaces. A handler raises this to stop that parser."""


class ClientStanzas:
    """Checks clients' messages, one element each, with one long-lived parser.

    ``root`` is a start tag with the namespace bindings that the elements may rely on. In legacy framing that
    is the client's own stream header; in RFC 7395 framing it binds nothing (RFC 7395 section 3.3.3).
    ``max_depth`` and ``max_attributes`` bound each message. The checker keeps nothing of a message, so that
    all sessions with the same bindings and limits share one (``worker_state.Checkers``).
    """

    __slots__ = (
        "_base",
        "_common",
        "_declared",
        "_depth",
        "_end",
        "_max_attributes",
        "_max_depth",
        "_name",
        "_parsed",
        "_parser",
        "_root",
        "shared",
    )

    def __init__(self, root: bytes, max_depth: int, max_attributes: int) -> None:
        #: Other sessions may be using this checker; ``release`` leaves it its parser.
        self.shared = False
        self._root = root
        self._common = common_stanzas(root, levels=max_depth, attributes=max_attributes)
        self._max_depth = max_depth
        self._max_attributes = 2 * max_attributes  # expat lists names and values
        self._parser: expat.XMLParserType | None = None
        #: expat's position of the message's first byte.
        self._base = 0
        self._parsed = 0
        self._depth = 0
        #: Names and values of the namespace declarations of the element that starts next.
        self._declared = 0
        self._name = ""
        #: Position in the message where expat reported the end of its element; -1 before that.
        self._end = -1

    def check(self, text: bytes) -> tuple[str, bytes]:
        """Return (expanded name, bytes) of the one element in ``text``, the bytes of a message.

        A start tag of a stream (a restart in legacy framing) is returned unchanged, closed or not, with the
        name ``STREAM``. Raises SessionError if ``text`` is anything but one well-formed element, or exceeds
        ``max_depth`` or ``max_attributes``.
        """
        if self._common is not None and (name := self._common.name_of(text)) is not None:
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
        except LongNamespace:
            self._new_namespace_checker()
            return self.check(text)
        except (expat.ExpatError, DefusedXmlException, SessionError) as error:
            self._parser = None  # its state is inside this message: it cannot parse the next one
            raise refused(error, text, parser.ErrorByteIndex - self._base) from None
        if self._parsed > MAX_PARSED + len(self._root) or len(parser.intern or ()) > MAX_NAMES:
            self._parser = None
        return self._name, text

    def release(self) -> None:
        """End a session's use: drop the parser, which refers to this object, unless sessions share it."""
        if not self.shared:
            self._parser = None

    def _new_parser(self) -> expat.XMLParserType:
        if len(self._root) > MAX_NAMESPACE:
            return self._new_namespace_checker()
        parser = make_parser(self._root)
        parser.StartElementHandler = self._start_element
        parser.EndElementHandler = self._end_element
        parser.StartNamespaceDeclHandler = self._declare
        return self._begin(parser, len(self._root))

    def _begin(self, parser: expat.XMLParserType, parsed: int) -> expat.XMLParserType:
        self._parser = parser
        self._parsed = parsed
        self._depth = self._declared = 0
        return parser

    def _new_namespace_checker(self) -> expat.XMLParserType:
        """Return a parser that ignores namespaces; ``Namespaces`` checks each name, however long they are."""
        names = Namespaces()
        depth = 0

        def start_element(name: str, attributes: list[str]) -> None:
            nonlocal depth
            depth += 1
            error = names.start(name, attributes)
            if error:
                raise not_well_formed(error)
            if depth > 1:
                self._start_element(names.expanded(name) if depth == 2 else "", attributes)

        def end_element(name: str) -> None:
            nonlocal depth
            depth -= 1
            names.end()
            self._end_element(name)

        parser = make_parser(namespaces=False)
        parser.StartElementHandler = start_element
        parser.EndElementHandler = end_element
        parser.Parse(self._root)
        return self._begin(parser, len(FIRST_LINE) + len(self._root))

    def _declare(self, _prefix: str | None, uri: str | None) -> None:
        """Count a namespace declaration of the element that starts next: expat does not list it there."""
        self._declared += 2
        if uri is not None and len(uri) > MAX_NAMESPACE:
            raise LongNamespace

    def _start_element(self, name: str, attributes: list[str]) -> None:
        self._depth += 1
        if self._depth == 1:
            if self._end >= 0:
                raise not_well_formed("a message is exactly one element")
            self._name = name
            if name == STREAM:
                raise StreamHeader
        elif self._depth > self._max_depth:
            raise SessionError(causes.DEEP_ELEMENTS)
        if len(attributes) + self._declared > self._max_attributes:
            raise SessionError(causes.MANY_ATTRIBUTES)
        self._declared = 0

    def _end_element(self, _name: str) -> None:
        self._depth -= 1
        if not self._depth:
            assert self._parser is not None
            self._end = self._parser.CurrentByteIndex - self._base
        elif self._depth < 0:  # an end tag of the root, which is around every message
            raise not_well_formed("a message is exactly one element")

    def _parse_without_plain_text(self, parser: expat.XMLParserType, text: bytes) -> None:
        if b"xmlns:" in text and parser.intern is not None and costly_tag(text) >= 0:
            raise LongNamespace
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
    """Return ``text`` without a leading XML declaration; raise SessionError unless an element follows."""
    text = without_declaration(text)
    if not text.startswith(b"<") or text.startswith(CDATA):
        raise not_well_formed("a message must start with an element")
    return text
