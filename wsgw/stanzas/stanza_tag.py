"""A stanza's own tag, which stays when wsgw removes content of the stanza.

This module also writes the replacements: the tag with its common attributes only (RFC 6120 section 8.1),
and the content that a request or a result must have (section 8.2.3).
"""

from __future__ import annotations

import re
from xml.parsers import expat

from defusedxml.common import DefusedXmlException

from wsgw.stanzas.namespaces import Namespaces
from wsgw.stanzas.parser import (
    IQ,
    STANZAS,
    attribute,
    end_of_tag,
    make_parser,
    not_well_formed,
    refused,
)

#: The attributes that a rewritten tag of a stanza keeps (RFC 6120 section 8.1).
_KEPT = ("from", "to", "id", "type", "xml:lang")
_ERROR = (
    b"<error xmlns='jabber:client' type='cancel'>"
    b"<undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
)
#: The content of a request whose own was removed: no client knows it, so that each answers with an error
#: (RFC 6120 section 8.4).
_UNREADABLE = b"<unreadable xmlns='urn:wsgw:stanza'/>"
#: The complete part of a tag that may be cut: its name and its first attributes.
_BEGUN_TAG = re.compile(rb"""<[^\s=<>"'/]+(?:\s+[^\s=<>"'/]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*""")


class StanzaTag:
    """The tag of one stanza, and the element that it becomes without its content.

    ``written`` is the name as written, ``attributes`` a flat list of names as written and values, ``tag`` the
    bytes of the tag. Raises StreamError for an error in the tag of an element that is not a stanza.
    """

    __slots__ = ("_attributes", "_declared", "_written", "name", "tag")

    def __init__(self, names: Namespaces, written: str, attributes: list[str], tag: bytes) -> None:
        #: The bytes of the tag that are forwarded.
        self.tag = tag
        self._written = written
        self._attributes = dict(zip(attributes[::2], attributes[1::2], strict=True))
        error = names.start(written, attributes)
        self._declared = names.declared
        #: Expanded name; empty if the name as written has an unbound prefix.
        self.name = names.expanded(written) if names.knows(written) else ""
        if error:
            self.require_stanza(error)
            self.rewrite()

    def require_stanza(self, error: str) -> None:
        """Raise StreamError unless it is a stanza: other elements are the server's own, not other users'."""
        if self.name not in STANZAS:
            raise not_well_formed(error)

    def get(self, attribute: str) -> str:
        """The value of an attribute, empty if the tag does not have it."""
        return self._attributes.get(attribute, "")

    def rewrite(self, **changed: str) -> None:
        """Keep only the common attributes in the tag, with the values in ``changed``."""
        values = {**self._attributes, **changed}
        self.tag = rewritten_tag(self._written, self._declared, values, "/>" if self.is_empty else ">")

    @property
    def is_empty(self) -> bool:
        """Whether the tag is the whole element."""
        return self.tag.endswith(b"/>")

    def around(self, content: bytes) -> bytes:
        """Return the element with ``content`` in place of its content."""
        start = self.tag[:-2] if self.is_empty else self.tag[:-1]
        return b"%s>%s</%s>" % (start, content, self._written.encode()) if content else start + b"/>"

    @property
    def must_have_content(self) -> bool:
        """Whether the stanza would have another meaning without content (RFC 6120 section 8.2.3)."""
        return self.name == IQ and self.get("type") in ("get", "set", "result")

    def emptied(self) -> bytes:
        """Return the element without its content.

        A result without content would have another meaning, so it becomes an error. A request gets content
        that its receiver answers with an error, as each request must be answered. No message or presence
        becomes an error, because clients take such an error for the sender's own.
        """
        if not self.must_have_content:
            return self.around(b"")
        if self.get("type") != "result":
            return self.around(_UNREADABLE)
        self.rewrite(type="error")
        return self.around(_ERROR)


def rewritten_tag(written: str, declared: list[tuple[str, str]], values: dict[str, str], end: str) -> bytes:
    """Return a stanza's tag with its namespace declarations and its common attributes only.

    ``written`` is the name as written, ``declared`` holds (prefix, namespace), ``values`` the values by
    attribute name, and ``end`` is ``>`` or ``/>``.
    """
    attributes = [(f"xmlns:{prefix}" if prefix else "xmlns", uri) for prefix, uri in declared]
    attributes += [(name, values[name]) for name in _KEPT if name in values]
    return f"<{written}{''.join(attribute(name, value) for name, value in attributes)}{end}".encode()


def read_tag(bindings: bytes, begun: bytes, most: int) -> StanzaTag:
    """Return the tag at the start of ``begun``, the first bytes of a stanza.

    A tag that is incomplete or above ``most`` bytes is rewritten with the attributes that are complete.
    ``bindings`` is a start tag with the namespace declarations of the stream's header. Raises StreamError.
    """
    end = end_of_tag(begun)
    tag = begun[:end]
    if not 0 < end <= most:
        whole = _BEGUN_TAG.match(begun, 0, most)
        tag = whole[0] + b">" if whole else b""
    seen: list[tuple[str, list[str]]] = []
    parser = make_parser(namespaces=False)
    parser.StartElementHandler = lambda name, attributes: seen.append((name, attributes))
    try:
        parser.Parse(bindings)
        parser.Parse(tag)
    except (expat.ExpatError, DefusedXmlException) as error:
        raise refused(error, tag, len(tag)) from None
    if len(seen) != 2:
        raise not_well_formed("not well-formed")
    names = Namespaces()
    names.start(*seen[0])
    read = StanzaTag(names, *seen[1], tag)
    if end != len(tag):
        read.rewrite()
    return read
