"""Cuts the bytes of one XML stream into stream headers, first-level elements and the stream's end.

RFC 6120 sections 4 and 11. The parser is that of defusedxml. It gets only whole tags: recent versions of
expat delay an incomplete token even after the rest of it has arrived, but a stanza must be recognised at its
last byte. XML that RFC 6120 section 11.1 forbids is refused at its first bytes. The module does not know what
the elements mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers.expat import errors as expat_errors

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from wsgw.errors import StreamError
from wsgw.stanzas.start_tag import without_declaration

#: Levels of elements, at most; the limit keeps every recursion over a tree shallow.
MAX_DEPTH = 100

_WHITESPACE = b" \t\r\n"
#: A quote opens a value only after "="; at any other place the XML is ill-formed, which the parser reports.
#: No two branches begin with the same byte, so that matching is linear without possessive quantifiers, which
#: are wrong in CPython before 3.11.5.
_TAG = re.compile(
    rb"""<[^>"'=]*(?:(?:=[ \t\r\n]*(?:"[^"]*"|'[^']*'|(?=[^"' \t\r\n]))|["'])[^>"'=]*)*>""",
)
_CDATA = re.compile(rb"<!\[CDATA\[.*?\]\]>", re.DOTALL)
_CDATA_OPEN = b"<![CDATA["
_DECLARATION_OPEN = b"<?xml"
_DECLARATION = re.compile(rb"<\?xml[ \t\r\n][^<>]*?\?>")

_EXPAT_CONDITIONS = {
    expat_errors.codes[expat_errors.XML_ERROR_UNDEFINED_ENTITY]: "restricted-xml",
    expat_errors.codes[expat_errors.XML_ERROR_UNBOUND_PREFIX]: "bad-namespace-prefix",
}


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The opening tag of a stream, ``{namespace}name``; ``default_namespace`` is empty if undeclared."""

    tag: str
    attributes: dict[str, str]
    default_namespace: str


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """The closing tag of the stream."""


Event = StreamOpened | StreamClosed | Element


class StreamReader:
    """Makes events of bytes; ``stanza_limit`` bounds one first-level element, in bytes."""

    def __init__(self, stanza_limit: int) -> None:
        self._stanza_limit = stanza_limit
        self._buffer = b""
        self._target = _Target()
        self._parser = _parser(self._target)
        self._declared = False
        self._stanza_size = 0

    def reset(self) -> None:
        """Begin a new stream (RFC 6120 section 4.3.3), with the bytes that are not parsed yet."""
        self._target = _Target()
        self._parser = _parser(self._target)
        self._declared = False
        self._stanza_size = 0

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield each event that ``data`` completes, before the next one is parsed: the caller may ``reset``.

        Raises StreamError with the condition of the error.
        """
        self._buffer += data
        while (token := self._next_token()) is not None:
            self._grow(len(token))
            self._parse(token)
            while self._target.events:
                event = self._target.events.pop(0)
                self._stanza_size = 0
                yield event
        self._grow(len(self._buffer), keep=False)

    def _grow(self, size: int, keep: bool = True) -> None:
        if self._stanza_size + size > self._stanza_limit:
            raise StreamError("policy-violation", f"A stanza may have {self._stanza_limit} bytes.")
        if keep:
            self._stanza_size += size

    def _next_token(self) -> bytes | None:
        """The next whole tag or CDATA section, with the text before it, or None until more bytes come."""
        if self._target.depth <= 1:
            self._buffer = self._buffer.lstrip(_WHITESPACE)
            self._skip_declaration()
        start = self._buffer.find(b"<")
        if self._buffer and start != 0 and self._target.depth <= 1:
            condition = "bad-format" if self._target.depth else "not-well-formed"
            raise StreamError(condition, "There is text outside of every element.")
        if start < 0:
            return None
        match = self._pattern_at(start).match(self._buffer, start)
        if match is None:
            return None
        token, self._buffer = self._buffer[: match.end()], self._buffer[match.end() :]
        return token

    def _pattern_at(self, start: int) -> re.Pattern[bytes]:
        head = self._buffer[start : start + len(_CDATA_OPEN)]
        if not head.startswith((b"<!", b"<?")):
            return _TAG
        if _CDATA_OPEN.startswith(head):
            return _CDATA
        if self._may_declare() and _DECLARATION_OPEN.startswith(head):
            return _DECLARATION
        if (
            self._may_declare()
            and head.startswith(_DECLARATION_OPEN)
            and head[5:6] in (b" ", b"\t", b"\r", b"\n")
        ):
            return _DECLARATION
        raise StreamError(
            "restricted-xml", "Comments, processing instructions and declarations have no place here."
        )

    def _may_declare(self) -> bool:
        return self._target.depth == 0 and not self._declared

    def _skip_declaration(self) -> None:
        """Drop an XML declaration before a stream header (RFC 6120 section 11.5)."""
        match = _DECLARATION.match(self._buffer)
        if match is None or not self._may_declare():
            return
        without_declaration(match[0])
        self._declared = True
        self._buffer = self._buffer[match.end() :].lstrip(_WHITESPACE)

    def _parse(self, token: bytes) -> None:
        try:
            self._parser.feed(token)
        except ParseError as error:
            condition = _EXPAT_CONDITIONS.get(error.code, "not-well-formed")
            raise StreamError(condition, "The XML is not well-formed.") from error
        except DefusedXmlException as error:
            raise StreamError("restricted-xml", "Declarations have no place here.") from error


class _Target:
    """The parser's callbacks: they count the depth, and build a tree of each first-level element."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.depth = 0
        self._default_namespace = ""
        self._builder = TreeBuilder()

    def start_ns(self, prefix: str, uri: str) -> None:
        if self.depth == 0 and not prefix:
            self._default_namespace = uri

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise StreamError("policy-violation", f"Elements may nest {MAX_DEPTH} deep.")
        if self.depth == 1:
            self.events.append(StreamOpened(tag, attributes, self._default_namespace))
            return
        if self.depth == 2:
            self._builder = TreeBuilder()
        self._builder.start(tag, attributes)

    def data(self, text: str) -> None:
        if self.depth > 1:
            self._builder.data(text)
        elif text.strip(" \t\r\n"):
            raise StreamError("bad-format", "There is text outside of every element.")

    def end(self, tag: str) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.events.append(StreamClosed())
            return
        self._builder.end(tag)
        if self.depth == 1:
            self.events.append(self._builder.close())

    def close(self) -> None:
        """Required by the parser; it does nothing, as the closing tag ends a stream."""


def _parser(target: _Target) -> DefusedXMLParser:
    parser = DefusedXMLParser(target=target, encoding="utf-8", forbid_dtd=True)
    # The attribute exists in ElementTree's Python implementation, which defusedxml uses.
    if hasattr(parser.parser, "SetReparseDeferralEnabled"):
        parser.parser.SetReparseDeferralEnabled(False)
    return parser
