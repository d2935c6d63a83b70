"""Two framings of XMPP in WebSocket messages, told apart by the root of the first one.

``Rfc7395Framing`` speaks ``<open/>`` and ``<close/>``; every message is a document of its own, so
what the server's stream header declares is restored on the server's own bytes. ``LegacyFraming``
is the draft before it: an unclosed ``<stream:stream>`` and bare elements, passed as they are.

No sockets, no state of a session: see ``websocket_xmpp``.
"""

from __future__ import annotations

import logging
import re
import secrets
import sys
from abc import ABC, abstractmethod
from dataclasses import replace
from functools import lru_cache
from xml.sax.saxutils import escape

from wsgw.errors import SessionError
from wsgw.stanzas.element import Element, read_element
from wsgw.stanzas.parser import (
    CLIENT,
    STREAM,
    STREAMS,
    VALUE_ESCAPES,
    WHITESPACE,
    Opening,
    attribute,
    declared_prefixes,
    expanded_name,
    not_well_formed,
    parse_opening,
    split_name,
    undeclared_prefixes,
)

log = logging.getLogger(__name__)

FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
OPEN = expanded_name(FRAMING, "open")
CLOSE = expanded_name(FRAMING, "close")
IQ = expanded_name(CLIENT, "iq")
FEATURES = expanded_name(STREAMS, "features")
ERROR = expanded_name(STREAMS, "error")
_CONDITIONS = "urn:ietf:params:xml:ns:xmpp-streams"
_TLS = "urn:ietf:params:xml:ns:xmpp-tls"
#: What features hold when TLS is offered, and the answer to asking for it (RFC 6120 section 5.4).
STARTTLS_PROCEED = expanded_name(_TLS, "proceed")
STARTTLS = expanded_name(_TLS, "starttls")
_REQUIRED = expanded_name(_TLS, "required")
_COMPRESSION = expanded_name("http://jabber.org/features/compress", "compression")
_LIMITS = expanded_name("urn:xmpp:stream-limits:0", "limits")
_MAX_BYTES = expanded_name("urn:xmpp:stream-limits:0", "max-bytes")
#: More digits than that are a number above every limit; Python converts no more than 4300.
_MAX_DIGITS = 20
#: XEP-0440, and where mechanisms are listed (RFC 6120 section 6.4.1, XEP-0388).
_CHANNEL_BINDING = expanded_name("urn:xmpp:sasl-cb:0", "sasl-channel-binding")
_MECHANISMS = (
    expanded_name("urn:ietf:params:xml:ns:xmpp-sasl", "mechanism"),
    expanded_name("urn:xmpp:sasl:2", "mechanism"),
)

_DECLARATION = b"<?xml version='1.0'?>"
#: In an element that is well-formed, or begins so, these find what the parser finds; a property test holds
#: them to that. A tag's name ends at white space, "/" or ">"; white space in a tag is XML's, since no other
#: character that ``\s`` stands for may be there.
_ELEMENT_NAME = re.compile(rb"<[^\s/>]+")
_STREAM_TAG = re.compile(rb"<(?:[^\s/>:]+:)?stream(?=[\s/>]|$)")
#: Above so many bytes it takes longer to look for a word in all of an element than to read its root tag.
_LONG = 1024
#: The default namespace's declaration among a tag's attributes, from the end of the tag's name on. Each
#: attribute is taken whole, so that nothing inside a value is; names cannot be written in any other way.
_DECLARES_DEFAULT = re.compile(
    rb"""(?:\s+(?!xmlns[\s=])[^\s=<>"'/]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s+xmlns\s*="""
)


#: A server says the same of its features to everyone: what is that short is read once, not at each login.
_REMEMBERED = 8 * 1024
_remembered_element = lru_cache(maxsize=16)(read_element)
#: Of a longer element only the root's tag is read: other sessions wait meanwhile.
_MAX_READ = 64 * 1024
#: The domains whose servers' channel binding was warned of in this process.
_warned_of_channel_binding: set[str] = set()
_remembered_prefixes = lru_cache(maxsize=16)(undeclared_prefixes)


def choose_framing(opening: Opening) -> Framing:
    """Return the framing that a client's first message speaks.

    Raises SessionError as ``require_opening`` does, and ``not-well-formed`` for an ``<open>`` left open.
    """
    require_opening(opening.name)
    if opening.name == OPEN:
        if not opening.closed:
            raise not_well_formed("a message is exactly one element")
        return Rfc7395Framing(opening)
    return LegacyFraming(opening)


def require_opening(name: str) -> None:
    """Return if an element of this expanded name opens a stream.

    Raises SessionError ``invalid-namespace`` for an opening in a namespace that is neither framing's,
    ``bad-format`` for anything that opens no stream.
    """
    if name in (OPEN, STREAM):
        return
    if split_name(name)[1] in ("open", "stream"):
        raise SessionError("invalid-namespace", "that namespace opens no XMPP stream")
    raise SessionError("bad-format", "the first message must open a stream")


def is_legacy(text: bytes) -> bool:
    """Whether a first message, even one that is refused, begins with the tag of the older framing."""
    return _STREAM_TAG.match(text) is not None


def starttls_header(domain: str) -> bytes:
    """Return the stream header that is sent to the server before TLS."""
    header = f"<stream:stream xmlns='{CLIENT}' xmlns:stream='{STREAMS}'"
    return _DECLARATION + f"{header}{attribute('to', domain)} version='1.0'>".encode()


def stream_error(prefix: str, condition: str, text: str, declaration: str = "") -> bytes:
    """Return a stream error (RFC 6120 section 4.9.2) whose root is written with ``prefix``."""
    root = f"{prefix}:error" if prefix else "error"
    return (
        f"<{root}{declaration}><{condition} xmlns='{_CONDITIONS}'/>"
        f"<text xmlns='{_CONDITIONS}' xml:lang='en'>{escape(text)}</text></{root}>"
    ).encode()


class Framing(ABC):
    """How one client's messages and one server's stream translate into each other."""

    #: A name for logs.
    name: str
    #: What ends the stream towards the browser, a whole message.
    close: bytes
    #: The tag whose bindings the client's elements may rely on.
    client_root: bytes

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self._server_root = b""

    @property
    def server_root(self) -> bytes:
        """The tag whose bindings the server's elements may rely on; empty before it has come."""
        return self._server_root

    @property
    @abstractmethod
    def upstream_header(self) -> bytes:
        """The stream header for the server: every attribute the client gave (RFC 6120 section 4.7)."""

    @property
    @abstractmethod
    def upstream_prefix(self) -> str:
        """The prefix that header gave to the streams namespace."""

    @property
    def upstream_end(self) -> bytes:
        """The tag that ends the stream towards the server."""
        name = f"{self.upstream_prefix}:stream" if self.upstream_prefix else "stream"
        return f"</{name}>".encode()

    def upstream_error(self, condition: str, text: str) -> bytes:
        """A stream error for the server."""
        return stream_error(self.upstream_prefix, condition, text)

    def restart(self, opening: Opening) -> None:
        """Take the client's header for a new stream on the same connection (RFC 6120 section 4.3.3).

        Without a ``to`` it is for the first one's domain. The server is told so: it may serve several.
        """
        to = self.opening.attribute("to")
        self.opening = opening if opening.attribute("to") is not None or to is None else _sent_to(opening, to)

    def server_header(self, tag: bytes) -> bytes:
        """Return the message that answers the client's header; remember what the server's ``tag`` binds."""
        self._server_root = _bindings(parse_opening(tag).namespaces)
        return tag

    @abstractmethod
    def own_header(self, domain: str) -> bytes:
        """The message that opens a stream in the gateway's own name (RFC 6120 section 4.9.1.2)."""

    def is_end(self, message: bytes) -> bool:
        """Whether ``message`` is the tag that ends the client's stream."""
        return False

    @abstractmethod
    def stanza(self, element: bytes) -> bytes:
        """Return the message for one first-level element of the server."""

    @abstractmethod
    def error(self, condition: str, text: str) -> bytes:
        """A stream error in the gateway's own name."""

    def close_towards(self, uri: str) -> bytes:
        """What ends the stream and sends the client elsewhere, where the framing can say so."""
        return self.close

    def features(self, element: bytes, max_stanza_size: int = sys.maxsize) -> tuple[bytes, bool]:
        """Return the server's features without STARTTLS and compression, and whether STARTTLS is required.

        TLS with the browser is the WebSocket's (RFC 7395 section 3.9). A size limit that the server
        announces (XEP-0478) is lowered to ``max_stanza_size`` bytes; nothing else is touched. Raises
        SessionError if they take too much to be read.
        """
        requires_starttls = False
        for child in reversed(self._read_features(element).children):
            if child.name in (STARTTLS, _COMPRESSION):
                if child.name == STARTTLS:
                    requires_starttls |= any(inner.name == _REQUIRED for inner in child.children)
                element = element[: child.start] + element[child.end :]
            elif child.name == _LIMITS:
                element = _lowered(element, child, max_stanza_size)
        return element, requires_starttls

    def offers_channel_binding(self, features: bytes) -> bool:
        """Whether the server's features offer to bind the login to its own TLS (RFC 5802, XEP-0440)."""
        if len(features) <= _REMEMBERED:
            return _remembered_binding(self._server_root, features)
        return _offers_channel_binding(self._server_root, features)

    def _read_features(self, element: bytes) -> Element:
        read = _remembered_element if len(element) <= _REMEMBERED else read_element
        return read(self._server_root, element)

    def condition(self, element: bytes) -> tuple[str, str]:
        """Return the (condition, character data) of a server's stream error.

        Raises SessionError if it takes too much to be read.
        """
        for child in read_element(self._server_root, element).children:
            namespace, local = split_name(child.name)
            if namespace == _CONDITIONS and local != "text":
                return local, child.text
        return "undefined-condition", ""


class Rfc7395Framing(Framing):
    """RFC 7395: each message one document, with all its declarations in it."""

    name = "rfc7395"
    #: Strophe compares this string byte for byte.
    close = b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" />'
    client_root = b"<messages>"

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._default_declaration = b""
        #: (``prefix:``, declaration) of what the server's header binds.
        self._prefixes: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def upstream_prefix(self) -> str:
        return "stream"

    @property
    def upstream_header(self) -> bytes:
        written = _attributes(self.opening, bound="stream")
        header = f"<stream:stream xmlns='{CLIENT}' xmlns:stream='{STREAMS}'{written}>"
        return _DECLARATION + header.encode()

    def server_header(self, tag: bytes) -> bytes:
        opening = parse_opening(tag)
        self._server_root = _bindings(opening.namespaces)
        bound = dict(opening.namespaces)
        default = bound.pop("", "")
        self._default_declaration = attribute("xmlns", default).encode() if default else b""
        self._prefixes = tuple(
            (f"{prefix}:".encode(), f' xmlns:{prefix}="{namespace.translate(VALUE_ESCAPES)}"'.encode())
            for prefix, namespace in bound.items()
        )
        return f"<open xmlns='{FRAMING}'{_attributes(opening)}/>".encode()

    def own_header(self, domain: str) -> bytes:
        sender = attribute("from", domain) if domain else ""
        return f"<open xmlns='{FRAMING}'{sender} id='{_stream_id()}' version='1.0' xml:lang='en'/>".encode()

    def stanza(self, element: bytes) -> bytes:
        """Insert what is missing in the root tag; nearly always ``xmlns='jabber:client'``.

        A word is searched for in the bytes only to save a parser: where ``xmlns`` or ``prefix:`` is not
        among them, nothing is declared or used. Where it is, the tag or the whole element is read.
        """
        match = _ELEMENT_NAME.match(element)
        assert match is not None
        name = match[0]
        if b":" in name or self._may_use_prefix(element):
            insert = self._missing_declarations(element)
        elif (len(element) > _LONG or b"xmlns" in element) and _DECLARES_DEFAULT.match(element, len(name)):
            return element
        else:
            insert = self._default_declaration
        return name + insert + element[len(name) :]

    def _may_use_prefix(self, element: bytes) -> bool:
        for prefix, _ in self._prefixes:  # noqa: SIM110 - any() takes four times as long
            if prefix in element:
                return True
        return False

    def _missing_declarations(self, element: bytes) -> bytes:
        if len(element) > _MAX_READ:
            return self._undeclared_by_root(element)
        read = _remembered_prefixes if len(element) <= _REMEMBERED else undeclared_prefixes
        missing = read(element)
        insert = b"".join(text for prefix, text in self._prefixes if prefix[:-1].decode() in missing)
        return insert + self._default_declaration if "" in missing else insert

    def _undeclared_by_root(self, element: bytes) -> bytes:
        """All that may be used: to declare once more what is in force changes nothing."""
        declared = declared_prefixes(element)
        insert = b"".join(
            text
            for prefix, text in self._prefixes
            if prefix in element and prefix[:-1].decode() not in declared
        )
        return insert if "" in declared else insert + self._default_declaration

    def error(self, condition: str, text: str) -> bytes:
        return stream_error("stream", condition, text, f' xmlns:stream="{STREAMS}"')

    def close_towards(self, uri: str) -> bytes:
        return f'<close xmlns="{FRAMING}" see-other-uri="{uri.translate(VALUE_ESCAPES)}" />'.encode()


class LegacyFraming(Framing):
    """The framing before RFC 7395: the stream's tags and elements, a message each, as on TCP."""

    name = "legacy"
    close = b"</stream:stream>"

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self.client_root = _bindings(opening.namespaces)

    @property
    def upstream_prefix(self) -> str:
        return self.opening.prefix

    @property
    def upstream_header(self) -> bytes:
        return _DECLARATION + _left_open(self.opening.tag)

    def restart(self, opening: Opening) -> None:
        super().restart(opening)
        self.client_root = _bindings(opening.namespaces)

    def own_header(self, domain: str) -> bytes:
        sender = attribute("from", domain) if domain else ""
        return (
            f"<stream:stream xmlns='{CLIENT}' xmlns:stream='{STREAMS}'"
            f"{sender} id='{_stream_id()}' version='1.0' xml:lang='en'>"
        ).encode()

    def stanza(self, element: bytes) -> bytes:
        return element

    def error(self, condition: str, text: str) -> bytes:
        return stream_error("stream", condition, text)

    def is_end(self, message: bytes) -> bool:
        # Nothing but white space may stand in an end tag behind its name (XML 1.0 section 3.1).
        message = message.rstrip(WHITESPACE)
        return message.endswith(b">") and message[:-1].rstrip(WHITESPACE) == self.upstream_end[:-1]


def _attributes(opening: Opening, bound: str = "") -> str:
    """Every attribute of a header and the declarations they rely on; the prefix ``bound`` has its own."""
    used = {name.partition(":")[0] for name, _ in opening.attributes if ":" in name}
    declared = "".join(
        attribute(f"xmlns:{prefix}", namespace)
        for prefix, namespace in opening.namespaces
        if prefix in used and prefix != bound
    )
    return declared + "".join(attribute(name, value) for name, value in opening.attributes)


def _sent_to(opening: Opening, to: str) -> Opening:
    """The same header with a ``to``, after the name of its tag."""
    name = _ELEMENT_NAME.match(opening.tag)
    assert name is not None
    tag = name[0] + attribute("to", to).encode() + opening.tag[name.end() :]
    return replace(opening, attributes=(("to", to), *opening.attributes), tag=tag)


def _lowered(features: bytes, limits: Element, size: int) -> bytes:
    """The features with a number of bytes in their ``limits`` (XEP-0478) that is not above ``size``."""
    for child in reversed(limits.children):
        number = child.text.strip()
        if child.name == _MAX_BYTES and _is_above(number, size):
            start, end = child.content(features)
            written, ours = features[start:end], str(size).encode()
            plain = written.strip(WHITESPACE) == number.encode()  # or it has references, CDATA, children
            features = (
                features[:start]
                + (written.replace(number.encode(), ours) if plain else ours)
                + features[end:]
            )
    return features


def _is_above(number: str, size: int) -> bool:
    if not (number.isascii() and number.isdigit()):
        return False
    significant = number.lstrip("0")
    return len(significant) > _MAX_DIGITS or int(significant or "0") > size


def _offers_channel_binding(root: bytes, features: bytes) -> bool:
    offered = read_element(root, features).children
    inside = (inner for child in offered for inner in child.children)
    return any(map(_binds_channel, offered)) or any(map(_binds_channel, inside))


def _binds_channel(feature: Element) -> bool:
    if feature.name == _CHANNEL_BINDING:
        return True
    return feature.name in _MECHANISMS and feature.text.strip().endswith("-PLUS")


_remembered_binding = lru_cache(maxsize=16)(_offers_channel_binding)


def warn_of_channel_binding(domain: str) -> None:
    """Once a domain and process. The lists pass unedited: clients and servers compare them (XEP-0474)."""
    if domain not in _warned_of_channel_binding:
        _warned_of_channel_binding.add(domain)
        log.warning(
            "%s: the XMPP server offers channel binding, which binds to its own TLS and fails through"
            " a gateway: switch off its SCRAM-...-PLUS mechanisms and <sasl-channel-binding/>,"
            " or reach it at a plain tcp:// upstream on loopback",
            domain,
        )


@lru_cache(maxsize=64)
def _bindings(namespaces: tuple[tuple[str, str], ...]) -> bytes:
    """A start tag that binds (prefix, namespace) each, the same for all sessions that bind the same."""
    declared = (attribute(f"xmlns:{prefix}" if prefix else "xmlns", name) for prefix, name in namespaces)
    return f"<root{''.join(declared)}>".encode()


def _left_open(tag: bytes) -> bytes:
    return tag[:-2].rstrip() + b">" if tag.endswith(b"/>") else tag


def _stream_id() -> str:
    return secrets.token_hex(8)
