"""The two framings of XMPP in WebSocket messages; the root of the client's first message tells which one.

``Rfc7395Framing`` uses ``<open/>`` and ``<close/>``. Each message is a separate document, so that the
declarations of the server's stream header are inserted into the server's elements. ``LegacyFraming`` is the
earlier draft: an unclosed ``<stream:stream>``, and elements that are forwarded unchanged.

The state of a session belongs to ``websocket_xmpp``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from functools import lru_cache

from wsgw.errors import Farewell, SessionError, causes
from wsgw.stanzas.parser import (
    CLIENT,
    ELEMENT_NAME,
    STREAM,
    STREAMS,
    VALUE_ESCAPES,
    WHITESPACE,
    attribute,
    expanded_name,
    split_name,
)
from wsgw.stanzas.prefixes import declared_prefixes, undeclared_prefixes
from wsgw.stanzas.start_tag import Opening, parse_opening
from wsgw.xmpp.header import (
    DECLARATION,
    bindings,
    header_attributes,
    left_open,
    sent_to,
    stream_error,
    stream_id,
)

FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
OPEN = expanded_name(FRAMING, "open")
CLOSE = expanded_name(FRAMING, "close")

#: The default namespace's declaration among a tag's attributes, from the end of the tag's name on. The
#: pattern matches whole attributes, so that it cannot match inside a value.
_DECLARES_DEFAULT = re.compile(
    rb"""(?:\s+(?!xmlns[\s=])[^\s=<>"'/]+\s*=\s*(?:"[^"]*"|'[^']*'))*\s+xmlns\s*="""
)
#: Bytes above which searching a whole element for a word takes longer than reading its root tag.
_LONG = 1024
#: Bytes above which only the root tag is read, because other sessions wait meanwhile.
_MAX_READ = 64 * 1024
#: Bytes up to which an element's prefixes are cached: at login a server sends all clients the same elements.
_REMEMBERED = 8 * 1024
_remembered_prefixes = lru_cache(maxsize=16)(undeclared_prefixes)


class Framing(ABC):
    """Translates one client's messages into an XMPP stream (RFC 6120), and the server's stream back."""

    #: The framing's name for logs.
    name: str
    #: The message that ends the stream towards the browser.
    close: bytes
    #: A start tag with the bindings that the client's elements may rely on.
    client_root: bytes
    #: The expanded names of the client's elements that open and end a stream; None if an end tag ends it.
    opening_name: str
    closing_name: str | None

    def __init__(self, opening: Opening) -> None:
        #: The client's header.
        self.opening = opening
        #: A start tag with the bindings that the server's elements may rely on; empty before its header.
        self.server_root = b""

    @property
    @abstractmethod
    def upstream_header(self) -> bytes:
        """The stream header for the server, with every attribute of the client's (RFC 6120 section 4.7)."""

    @property
    @abstractmethod
    def upstream_prefix(self) -> str:
        """The prefix of the streams namespace in ``upstream_header``."""

    @property
    def upstream_end(self) -> bytes:
        """The tag that ends the stream towards the server."""
        name = f"{self.upstream_prefix}:stream" if self.upstream_prefix else "stream"
        return f"</{name}>".encode()

    def upstream_error(self, condition: str, text: str) -> bytes:
        """Return a stream error for the server."""
        return stream_error(self.upstream_prefix, condition, text)

    def restart(self, opening: Opening) -> None:
        """Take the client's header for a new stream on the same connection (RFC 6120 section 4.3.3).

        A header without ``to`` gets that of the first one, because the server may serve several domains.
        """
        to = self.opening.attribute("to")
        self.opening = opening if opening.attribute("to") is not None or to is None else sent_to(opening, to)

    def server_header(self, tag: bytes) -> bytes:
        """Return the message for the client with the server's header ``tag``; remember its bindings."""
        self.server_root = bindings(parse_opening(tag).namespaces)
        return tag

    def farewell(self, error: SessionError) -> bytes:
        """Return the bytes for the server, before the FIN, when wsgw ends the session with ``error``."""
        if error.farewell is Farewell.FIN:
            return b""
        if error.farewell is Farewell.END:
            return self.upstream_end
        return self.upstream_error(error.condition, error.text) + self.upstream_end

    @abstractmethod
    def own_header(self, domain: str) -> bytes:
        """Return the message that opens wsgw's own stream before an error (RFC 6120 section 4.9.1.2)."""

    def is_end(self, message: bytes) -> bool:
        """Whether ``message`` is the tag that ends the client's stream."""
        return False

    def require_foreign(self, name: str) -> None:  # noqa: B027 - in one framing every name is
        """Check that a client's element with this expanded name is for the server, not part of a framing.

        Raises SessionError for an element of the other framing, or one of this framing in a wrong namespace
        (RFC 7395 section 3.3.2).
        """

    @property
    def declaration(self) -> bytes | None:
        """The declaration that ``stanza`` inserts into a stanza without prefixes that declares no namespace.

        None if the messages of the client and the elements of the server are not separate documents.
        """
        return None

    @abstractmethod
    def stanza(self, element: bytes) -> bytes:
        """Return the message for the browser with ``element``, the bytes of a first-level element."""

    @abstractmethod
    def error(self, condition: str, text: str) -> bytes:
        """Return the message with wsgw's own stream error (RFC 6120 section 4.9.2)."""

    def close_towards(self, uri: str) -> bytes:
        """Return the message that ends the stream and names another WebSocket, if the framing can do that.

        RFC 7395 section 3.6.1; legacy framing only ends the stream.
        """
        return self.close


class Rfc7395Framing(Framing):
    """RFC 7395: each message is one document with all its declarations (section 3.3)."""

    name = "rfc7395"
    #: Strophe compares this string byte for byte.
    close = b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" />'
    client_root = b"<messages>"
    opening_name, closing_name = OPEN, CLOSE

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self._default_declaration = b""
        #: (``prefix:``, declaration) for each prefix that the server's header declares.
        self._prefixes: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def upstream_prefix(self) -> str:
        return "stream"

    @property
    def upstream_header(self) -> bytes:
        written = header_attributes(self.opening, bound="stream")
        header = f"<stream:stream xmlns='{CLIENT}' xmlns:stream='{STREAMS}'{written}>"
        return DECLARATION + header.encode()

    def server_header(self, tag: bytes) -> bytes:
        opening = parse_opening(tag)
        self.server_root = bindings(opening.namespaces)
        bound = dict(opening.namespaces)
        default = bound.pop("", "")
        self._default_declaration = attribute("xmlns", default).encode() if default else b""
        self._prefixes = tuple(
            (f"{prefix}:".encode(), f' xmlns:{prefix}="{namespace.translate(VALUE_ESCAPES)}"'.encode())
            for prefix, namespace in bound.items()
        )
        return f"<open xmlns='{FRAMING}'{header_attributes(opening)}/>".encode()

    def own_header(self, domain: str) -> bytes:
        sender = attribute("from", domain) if domain else ""
        return f"<open xmlns='{FRAMING}'{sender} id='{stream_id()}' version='1.0' xml:lang='en'/>".encode()

    def require_foreign(self, name: str) -> None:
        if name == STREAM:
            raise SessionError(causes.OTHER_FRAMING)
        if split_name(name)[1] in ("open", "close"):
            raise SessionError(causes.NO_FRAMING)

    @property
    def declaration(self) -> bytes:
        return self._default_declaration

    def stanza(self, element: bytes) -> bytes:
        """Insert the missing declarations into the root tag, nearly always ``xmlns='jabber:client'``.

        Every message declares its namespaces itself (RFC 7395 section 3.3.3). The search for ``xmlns`` and
        ``prefix:`` only saves a parser: an element without these words declares or uses nothing. In an
        element with one of them, the tag or the whole element is parsed.
        """
        match = ELEMENT_NAME.match(element)
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
        """Return declarations for all prefixes that may be used: declaring one again changes nothing."""
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
    """The framing before RFC 7395: the tags and elements of a stream as on TCP, each in one message."""

    name = "legacy"
    close = b"</stream:stream>"
    opening_name, closing_name = STREAM, None

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self.client_root = bindings(opening.namespaces)

    @property
    def upstream_prefix(self) -> str:
        return self.opening.prefix

    @property
    def upstream_header(self) -> bytes:
        return DECLARATION + left_open(self.opening.tag)

    def restart(self, opening: Opening) -> None:
        super().restart(opening)
        self.client_root = bindings(opening.namespaces)

    def own_header(self, domain: str) -> bytes:
        sender = attribute("from", domain) if domain else ""
        return (
            f"<stream:stream xmlns='{CLIENT}' xmlns:stream='{STREAMS}'"
            f"{sender} id='{stream_id()}' version='1.0' xml:lang='en'>"
        ).encode()

    def stanza(self, element: bytes) -> bytes:
        return element

    def error(self, condition: str, text: str) -> bytes:
        return stream_error("stream", condition, text)

    def is_end(self, message: bytes) -> bool:
        # In an end tag, only white space may follow the name (XML 1.0 section 3.1).
        message = message.rstrip(WHITESPACE)
        return message.endswith(b">") and message[:-1].rstrip(WHITESPACE) == self.upstream_end[:-1]
