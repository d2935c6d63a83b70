"""An XMPP session over a WebSocket, as a client has it: login, a resource, stanzas, resumption.

It speaks RFC 7395 framing, or the legacy framing of the old module: the bytes of a stream in messages. It
shares no codec with the gateway.
"""

from __future__ import annotations

import re
import secrets
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from scramp import ScramClient, ScramException

from wsgw.demo.elements import (
    NS_BIND,
    NS_CLIENT,
    NS_SASL,
    NS_SM,
    NS_STREAM,
    make,
    quote_attribute,
    serialise,
)
from wsgw.demo.xml_reader import StreamClosed, StreamOpened, StreamReader
from wsgw.errors import StreamError
from wsgw.probe.websocket_client import WebSocketClient

_NS_FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
_NS_LIMITS = "urn:xmpp:stream-limits:0"
_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-1")
#: More rounds would keep this process busy for minutes, in which no timeout counts.
_MOST_ROUNDS = 1_000_000
_ROUNDS = re.compile(r",i=(\d{1,18})", re.ASCII)
#: The condition of a login with wrong credentials (RFC 6120 section 6.5.10).
_WRONG = "not-authorized"
_MAX_STANZA = 1024 * 1024
_STANZAS = {f"{{{NS_CLIENT}}}{name}" for name in ("message", "presence", "iq")}
#: The elements in place of the two framings' ways to open and to close a stream.
OPENED, CLOSED = "the opening of the stream", "the end of the stream"


class LoginRefused(ValueError):
    """The server refuses the login, or offers no way to log in that this client knows."""

    def __init__(self, message: str, condition: str = "") -> None:
        """``condition``: of RFC 6120 section 6.5; empty without a usable mechanism."""
        super().__init__(message)
        self.condition = condition


class StreamFailed(ValueError):
    """The server ends the stream with an error; ``condition`` is one of RFC 6120 section 4.9.3."""

    def __init__(self, condition: str) -> None:
        super().__init__(f"the stream ends with {condition}")
        self.condition = condition


class Framing(ABC):
    """How elements become messages, and messages elements."""

    #: For people.
    name: str

    @abstractmethod
    def opening(self, domain: str) -> str:
        """The message that opens a stream to ``domain``."""

    @abstractmethod
    def closing(self) -> str:
        """The message that closes the stream."""

    @abstractmethod
    def write(self, element: Element) -> str:
        """The message with ``element``."""

    @abstractmethod
    def read(self, message: str) -> list[Element]:
        """The elements that ``message`` completes; ``OPENED`` and ``CLOSED`` for those of a stream."""


class Rfc7395(Framing):
    """Each message is an XML document (RFC 7395 section 3.3)."""

    name = "RFC 7395 framing"

    def opening(self, domain: str) -> str:
        return f"<open xmlns='{_NS_FRAMING}' to={quote_attribute(domain)} version='1.0'/>"

    def closing(self) -> str:
        return f"<close xmlns='{_NS_FRAMING}'/>"

    def write(self, element: Element) -> str:
        return serialise(element, default_namespace="")

    def read(self, message: str) -> list[Element]:
        element = _parsed(message)
        names = {f"{{{_NS_FRAMING}}}open": OPENED, f"{{{_NS_FRAMING}}}close": CLOSED}
        return [Element(names[element.tag]) if element.tag in names else element]


class Legacy(Framing):
    """The messages together are the bytes of the stream, from its header to its end tag."""

    name = "legacy framing"

    def __init__(self) -> None:
        self._reader = StreamReader(_MAX_STANZA)

    def opening(self, domain: str) -> str:
        self._reader.reset()
        return (
            f"<stream:stream to={quote_attribute(domain)} version='1.0' xmlns='{NS_CLIENT}'"
            f" xmlns:stream='{NS_STREAM}'>"
        )

    def closing(self) -> str:
        return "</stream:stream>"

    def write(self, element: Element) -> str:
        return serialise(element)

    def read(self, message: str) -> list[Element]:
        try:
            return [_plain(event) for event in self._reader.feed(message.encode())]
        except StreamError as error:
            raise ValueError(f"the stream is broken: {error}") from error


def _parsed(message: str) -> Element:
    try:
        return fromstring(message, forbid_dtd=True)
    except DefusedXmlException as error:
        raise ValueError(str(error)) from error
    except ParseError as error:
        raise ValueError(f"a message is not one XML document ({error})") from error


def _plain(event: StreamOpened | StreamClosed | Element) -> Element:
    if isinstance(event, StreamOpened):
        return Element(OPENED)
    return Element(CLOSED) if isinstance(event, StreamClosed) else event


class Session:
    """The session of one account. Every method may raise ValueError, WebSocketFailed and OSError."""

    def __init__(
        self, client: WebSocketClient, account: tuple[str, str], domain: str, framing: Framing
    ) -> None:
        """``account``: (localpart, password)."""
        self._client = client
        self._name, self._password = account
        self._domain = domain
        self._framing = framing
        self._read: list[Element] = []
        #: Stanzas received while stream management is on (XEP-0198 section 4); None before.
        self._handled: int | None = None
        #: The full JID after ``bind``.
        self.jid = f"{self._name}@{domain}"

    def open(self) -> Element:
        """Open the stream, also again after the login; returns the features."""
        self._client.send(self._framing.opening(self._domain))
        self.expect(OPENED)
        return self.expect(f"{{{NS_STREAM}}}features")

    def log_in(self, features: Element) -> str:
        """Log in with a mechanism in ``features``; returns its name. Raises LoginRefused."""
        offered = {(item.text or "").strip() for item in features.iter(f"{{{NS_SASL}}}mechanism")}
        scram = next((name for name in _SCRAM if name in offered), None)
        if scram is not None:
            self._log_in_by_scram(scram)
            return scram
        if "PLAIN" not in offered:
            raise LoginRefused(f"the server offers only {', '.join(sorted(offered)) or 'nothing'}")
        self._send_auth("auth", f"\0{self._name}\0{self._password}".encode(), {"mechanism": "PLAIN"})
        self._expect_of_login("success")
        return "PLAIN"

    def bind(self) -> None:
        """Bind a resource (RFC 6120 section 7)."""
        self.send(make(NS_CLIENT, "iq", {"type": "set", "id": "probe-bind"}, make(NS_BIND, "bind")))
        reply = self.expect(f"{{{NS_CLIENT}}}iq")
        jid = reply.findtext(f"{{{NS_BIND}}}bind/{{{NS_BIND}}}jid")
        if reply.get("type") != "result" or not jid:
            raise ValueError(f"no resource was bound: {describe(reply)}")
        self.jid = jid

    def send(self, element: Element) -> None:
        """Send one stanza or other first-level element."""
        self._client.send(self._framing.write(element))

    def expect(self, tag: str) -> Element:
        """The next element, whose tag must be ``tag``."""
        element = self.receive()
        if element.tag == CLOSED != tag:
            raise ValueError("the server ends the stream")
        if element.tag != tag:
            raise ValueError(f"expected {tag}, got {describe(element)}")
        return element

    def receive(self) -> Element:
        """The next element. Requests of stream management are answered. Raises StreamFailed."""
        while True:
            while not self._read:
                self._read = self._framing.read(self._client.receive())
            element = self._read.pop(0)
            if element.tag == f"{{{NS_STREAM}}}error":
                raise StreamFailed(next((_local(child) for child in element), "undefined-condition"))
            if element.tag == f"{{{NS_SM}}}r":
                self.send(make(NS_SM, "a", {"h": str(self._handled or 0)}))
                continue
            if self._handled is not None and element.tag in _STANZAS:
                self._handled += 1
            return element

    def carry(self, body: str) -> None:
        """Send a message with ``body`` to this session itself, and wait until it arrives unchanged."""
        identifier = secrets.token_hex(8)
        text = make(NS_CLIENT, "body", text=body)
        self.send(make(NS_CLIENT, "message", {"to": self.jid, "type": "chat", "id": identifier}, text))
        while True:
            arrived = self.receive()
            if arrived.get("id") != identifier:
                continue
            if arrived.tag != f"{{{NS_CLIENT}}}message" or arrived.get("type") == "error":
                raise ValueError(f"the server answers {describe(arrived)}")
            if arrived.findtext(f"{{{NS_CLIENT}}}body") != body:
                raise ValueError("the text arrives changed")
            return

    def leave(self) -> None:
        """Close the stream, then the WebSocket (RFC 7395 section 3.6)."""
        self._client.send(self._framing.closing())
        while self.receive().tag != CLOSED:
            pass
        self._client.finish()

    # -- stream management (XEP-0198) ------------------------------------------------------------

    def enable_resumption(self) -> str:
        """Switch stream management on; returns the id for ``resume``, empty if the server gives none."""
        self.send(make(NS_SM, "enable", {"resume": "true"}))
        self._handled = 0
        while (answer := self.receive()).tag in _STANZAS:
            pass
        return answer.get("id", "") if answer.get("resume") in ("true", "1") else ""

    def resume(self, earlier: Session, identifier: str) -> bool:
        """Resume the lost session ``earlier`` in place of ``bind``; False if the server has it no more."""
        self.send(make(NS_SM, "resume", {"previd": identifier, "h": str(earlier._handled or 0)}))
        answer = self.receive()
        self._handled, self.jid = earlier._handled, earlier.jid
        return answer.tag == f"{{{NS_SM}}}resumed"

    # -- SASL (RFC 6120 section 6) ---------------------------------------------------------------

    def _log_in_by_scram(self, mechanism: str) -> None:
        try:
            client = ScramClient([mechanism], self._name, self._password)
        except ScramException as error:  # of SASLprep (RFC 4013)
            raise LoginRefused(f"SCRAM has no such user name or password: {error}", _WRONG) from error
        self._send_auth("auth", client.get_client_first().encode(), {"mechanism": mechanism})
        challenge = _octets(self._expect_of_login("challenge"))
        try:
            client.set_server_first(challenge)
            rounds = _ROUNDS.search(challenge)
            if rounds is not None and int(rounds[1]) > _MOST_ROUNDS:
                raise ValueError(f"the server demands {rounds[1]} rounds of SCRAM")
            self._send_auth("response", client.get_client_final().encode(), {})
            client.set_server_final(_octets(self._expect_of_login("success")))
        except ScramException as error:
            raise LoginRefused(f"the server does not prove that it knows the password: {error}") from error

    def _send_auth(self, name: str, data: bytes, attributes: dict[str, str]) -> None:
        self.send(make(NS_SASL, name, attributes, text=b64encode(data).decode()))

    def _expect_of_login(self, name: str) -> Element:
        element = self.receive()
        if element.tag == f"{{{NS_SASL}}}failure":
            condition = next((_local(child) for child in element), "undefined-condition")
            raise LoginRefused(f"the server refuses the login: {condition}", condition)
        if element.tag != f"{{{NS_SASL}}}{name}":
            raise ValueError(f"expected {name} of SASL, got {describe(element)}")
        return element


def max_bytes(features: Element) -> int | None:
    """The largest stanza that ``features`` announce (XEP-0478), in bytes; None if they announce none."""
    text = features.findtext(f"{{{_NS_LIMITS}}}limits/{{{_NS_LIMITS}}}max-bytes", "").strip()
    return int(text) if text.isascii() and text.isdigit() else None


def offers_management(features: Element) -> bool:
    """Whether ``features`` offer stream management (XEP-0198)."""
    return features.find(f"{{{NS_SM}}}sm") is not None


def describe(element: Element) -> str:
    """An unexpected element: its name and those of its first descendants, never its text."""
    return f"<{'/'.join([_local(child) for child in element.iter()][:3])}>"


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _octets(element: Element) -> str:
    return b64decode(element.text or "", validate=True).decode()
