"""A stanza's own tag: what stays when content of the stanza, or all of it, is taken out.

Here is what the gateway writes in place of what it took out: the tag with its common attributes only
(RFC 6120 section 8.1), and the content that a request or a result must have (section 8.2.3).
"""

from __future__ import annotations

import re
from xml.parsers import expat

from defusedxml.common import DefusedXmlException

from wsgw.stanzas.namespaces import Namespaces
from wsgw.stanzas.parser import (
    CLIENT,
    STANZAS,
    attribute,
    end_of_tag,
    expanded_name,
    make_parser,
    not_well_formed,
    refused,
)

#: What is kept of a stanza's own tag if that is written anew (RFC 6120 section 8.1).
_KEPT = ("from", "to", "id", "type", "xml:lang")
_IQ = expanded_name(CLIENT, "iq")
_ERROR = (
    b"<error xmlns='jabber:client' type='cancel'>"
    b"<undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
)
#: What a request holds whose own content is gone: no client knows it, so that each answers with an error.
_UNREADABLE = b"<unreadable xmlns='urn:wsgw:stanza'/>"
#: A tag, or as much of one as is whole: its name and its first attributes.
_BEGUN_TAG = re.compile(rb"""<[^\s=<>"'/]+(?:\s+[^\s=<>"'/]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*""")


class StanzaTag:
    """A stanza's own tag: what stays whatever becomes of its content."""

    __slots__ = ("_attributes", "_declared", "_written", "name", "tag")

    def __init__(self, names: Namespaces, written: str, attributes: list[str], tag: bytes) -> None:
        #: The tag as it is passed on.
        self.tag = tag
        self._written = written
        self._attributes = dict(zip(attributes[::2], attributes[1::2], strict=True))
        fault = names.start(written, attributes)
        self._declared = names.declared
        #: Expanded name; nothing but a stanza may have a fault.
        self.name = names.expanded(written) if names.knows(written) else ""
        if fault:
            self.require_stanza(fault)
            self.write_anew()

    def require_stanza(self, fault: str) -> None:
        """Raise StreamError unless it is a stanza: what else the server says is its own."""
        if self.name not in STANZAS:
            raise not_well_formed(fault)

    def get(self, attribute: str) -> str:
        """The value of an attribute, empty if it is not there."""
        return self._attributes.get(attribute, "")

    def write_anew(self, **changed: str) -> None:
        """Keep of the tag only what every stanza has, with some of it ``changed``."""
        values = {**self._attributes, **changed}
        self.tag = tag_anew(self._written, self._declared, values, "/>" if self.is_empty else ">")

    @property
    def is_empty(self) -> bool:
        """Whether the tag is the whole element."""
        return self.tag.endswith(b"/>")

    def around(self, content: bytes) -> bytes:
        """The element, with other content than its own."""
        start = self.tag[:-2] if self.is_empty else self.tag[:-1]
        return b"%s>%s</%s>" % (start, content, self._written.encode()) if content else start + b"/>"

    @property
    def must_have_content(self) -> bool:
        """Whether the stanza says something else without its content."""
        return self.name == _IQ and self.get("type") in ("get", "set", "result")

    def emptied(self) -> bytes:
        """The element once all its content is taken out.

        A result without content would say something else than it did; a request without content must be
        answered, by whom it was sent to. No message or presence becomes an error: those are taken for the
        word of the sender that they name.
        """
        if not self.must_have_content:
            return self.around(b"")
        if self.get("type") != "result":
            return self.around(_UNREADABLE)
        self.write_anew(type="error")
        return self.around(_ERROR)


def tag_anew(written: str, declared: list[tuple[str, str]], values: dict[str, str], end: str) -> bytes:
    """Write a stanza's tag: what it has ``declared``, and of its ``values`` the common attributes."""
    attributes = [(f"xmlns:{prefix}" if prefix else "xmlns", uri) for prefix, uri in declared]
    attributes += [(name, values[name]) for name in _KEPT if name in values]
    return f"<{written}{''.join(attribute(name, value) for name, value in attributes)}{end}".encode()


def read_tag(bindings: bytes, begun: bytes, most: int) -> StanzaTag:
    """The tag that ``begun`` starts with; if it is above ``most`` bytes, what of it matters and is whole."""
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
        read.write_anew()
    return read
