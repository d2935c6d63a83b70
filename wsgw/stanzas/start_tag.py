"""Reads the start tag at the beginning of a message.

``parse_opening`` reads the whole message that opens a stream: the header of RFC 6120 section 4.7, or the
``<open/>`` of RFC 7395 section 3.4; ``xmpp/framing`` decides which framing a client speaks. ``first_tag``
reads the first tag of any element.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from xml.parsers import expat

from defusedxml.common import DefusedXmlException

from wsgw.errors import CloseCode, SessionError, causes
from wsgw.stanzas.parser import (
    FIRST_LINE,
    SEPARATOR,
    WHITESPACE,
    costly_tag,
    end_of_tag,
    long_namespace,
    make_parser,
    not_well_formed,
    refused,
    restricted,
)

_XML_DECLARATION = re.compile(
    rb"""<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:"1\.[0-9]+"|'1\.[0-9]+')"""
    rb"""(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*["']([A-Za-z0-9._-]+)["'])?"""
    rb"""(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*["'](?:yes|no)["'])?[ \t\r\n]*\?>"""
)


def without_declaration(text: bytes) -> bytes:
    """Return ``text`` without white space around it and without a leading XML declaration.

    Raises SessionError ``unsupported-encoding`` for a declared encoding that is not UTF-8
    (RFC 6120 section 11.6).
    """
    text = text.strip(WHITESPACE)
    if not text.startswith(b"<?xml") or text[5:6] not in (b" ", b"\t", b"\r", b"\n"):
        return text
    match = _XML_DECLARATION.match(text)
    if match is None:
        raise not_well_formed("malformed XML declaration")
    if match[1] is not None and match[1].lower() != b"utf-8":
        raise SessionError(causes.OTHER_ENCODING, code=CloseCode.INVALID_PAYLOAD)
    return text[match.end() :].lstrip(WHITESPACE)


def first_tag(root: bytes, text: bytes) -> tuple[str, dict[str, str]]:
    """Return the expanded name and the attributes of the element that ``text`` begins with.

    ``root`` is a start tag with the bindings that the element relies on. The attributes are values by
    expanded name. The bytes after the tag are ignored. Raises SessionError if there is no well-formed tag.
    """
    text = without_declaration(text)
    tag = text[: max(end_of_tag(text), 0)]
    if costly_tag(tag) >= 0:
        raise long_namespace()
    parser = make_parser(root)
    seen: list[tuple[str, list[str]]] = []
    parser.StartElementHandler = lambda name, attributes: seen.append((name, attributes))
    try:
        parser.Parse(tag)
    except (expat.ExpatError, DefusedXmlException) as error:
        raise refused(error, tag, len(tag)) from None
    if not seen:
        raise not_well_formed("a message must start with an element")
    name, attributes = seen[0]
    return name, dict(zip(attributes[::2], attributes[1::2], strict=True))


@dataclass(frozen=True, slots=True)
class Opening:
    """The start tag that opens a stream: a stream header, or RFC 7395's ``<open/>``."""

    #: Expanded name, and the prefix as written (empty for none).
    name: str
    prefix: str
    #: (name as written, value) in order; namespace declarations are not among them.
    attributes: tuple[tuple[str, str], ...]
    #: (prefix, namespace) of every declaration; the prefix of the default namespace is empty.
    namespaces: tuple[tuple[str, str], ...]
    #: The tag's own bytes.
    tag: bytes
    #: Whether the element ended in the same message; a stream header in legacy framing may be left open.
    closed: bool

    def get(self, attribute: str) -> str:
        """Return an attribute's value, empty if the tag does not have it."""
        return self.attribute(attribute) or ""

    def attribute(self, attribute: str) -> str | None:
        """Return an attribute's value, None if the tag does not have it."""
        return next((value for name, value in self.attributes if name == attribute), None)


def parse_opening(text: bytes, judge: Callable[[str], None] | None = None) -> Opening:
    """Read a message that opens a stream: one element without content, self-closed or left open.

    ``text`` is a result of ``without_declaration``. ``judge`` is called with the element's expanded name
    before its content is read, and may raise SessionError. Raises SessionError if ``text`` is anything else
    than such an element.
    """
    if text.startswith(b"<?xml"):
        raise restricted("a second XML declaration")
    if costly_tag(text) >= 0:
        raise long_namespace()
    parser = make_parser(prefixes=True)
    seen: list[tuple[str, str, list[str]]] = []
    namespaces: list[tuple[str, str]] = []

    def start(name: str, attributes: list[str]) -> None:
        if seen:
            raise not_well_formed("a stream header has no content")
        name, prefix = _split_prefix(name)
        if judge is not None:
            judge(name)
        seen.append((name, prefix, attributes))

    def declare(prefix: str | None, uri: str | None) -> None:
        namespaces.append((prefix or "", uri or ""))

    parser.StartElementHandler = start
    parser.StartNamespaceDeclHandler = declare
    try:
        parser.Parse(text)
    except (expat.ExpatError, DefusedXmlException) as error:
        raise refused(error, text, max(parser.ErrorByteIndex - len(FIRST_LINE), 0)) from None
    end = end_of_tag(text)
    if not seen or end < 0:
        raise not_well_formed("a message must start with an element")
    tag, rest = text[:end], text[end:].strip(WHITESPACE)
    if rest and not _is_end_tag(rest):
        raise not_well_formed("text after the stream header")
    name, prefix, flat = seen[0]
    names = [_as_written(key) if SEPARATOR in key else key for key in flat[::2]]
    attributes = tuple(zip(names, flat[1::2], strict=True))
    return Opening(name, prefix, attributes, tuple(namespaces), tag, bool(rest) or tag.endswith(b"/>"))


def _is_end_tag(rest: bytes) -> bool:
    """Whether ``rest`` is one end tag and nothing more; expat has checked that its name matches."""
    return rest.startswith(b"</") and rest.find(b">") == len(rest) - 1


def _split_prefix(triplet: str) -> tuple[str, str]:
    parts = triplet.split(SEPARATOR)
    return SEPARATOR.join(parts[:2]), parts[2] if len(parts) == 3 else ""


def _as_written(triplet: str) -> str:
    parts = triplet.split(SEPARATOR)
    return f"{parts[2]}:{parts[1]}" if len(parts) == 3 else parts[-1]
