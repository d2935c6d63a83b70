"""Proves that a gateway works: logs in two accounts through its WebSocket, and sends a message between them.

It speaks RFC 7395 over its own WebSocket client (``websocket_client``), and shares no codec with the gateway.
"""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from gevent import Timeout, ssl
from scramp import ScramClient, ScramException

from wsgw.demo.elements import NS_BIND, NS_CLIENT, NS_SASL, NS_STREAM, make, quote_attribute, serialise
from wsgw.errors import WsgwError
from wsgw.probe.websocket_client import WebSocketClient, WebSocketFailed, tls_context

_NS_FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
_SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-1")


class ProbeFailed(WsgwError):
    """The gateway failed a step; the message is a sentence with the step and the reason."""


def prove(
    url: str,
    domain: str,
    sender: tuple[str, str],
    receiver: tuple[str, str],
    timeout: float,
    authority: str = "",
) -> None:
    """Send a message from ``sender`` to ``receiver`` through the gateway; it must arrive unchanged.

    ``url``: ``ws://HOST:PORT/PATH``, or ``wss://``. ``sender`` and ``receiver``: (localpart, password) of
    accounts of ``domain``. ``timeout``: seconds for all steps together. ``authority``: the PEM text of the
    certificate to trust, by default those of the system. Raises ProbeFailed.
    """
    steps = _Steps()
    context = tls_context()
    if authority:
        context.load_verify_locations(cadata=authority)
    deadline = Timeout(timeout)
    try:
        with deadline, _ProbeSession(url, domain, receiver, steps, context) as listening:
            with _ProbeSession(url, domain, sender, steps, context) as speaking:
                _carry_message(speaking, listening, steps)
                speaking.leave()
            listening.leave()
    except Timeout as error:
        if error is not deadline:
            raise
        raise ProbeFailed(f"{steps.current}: not finished within {timeout:g} s.") from error


class _Steps:
    """Knows the current step, for the message of a failure."""

    def __init__(self) -> None:
        self.current = "starting"

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.current = name
        try:
            yield
        except (WebSocketFailed, ScramException, DefusedXmlException, ValueError, OSError) as error:
            raise ProbeFailed(f"{name}: {error}.") from error
        except ParseError as error:
            raise ProbeFailed(f"{name}: a message is not one XML document ({error}).") from error


class _ProbeSession:
    """The session of one account, logged in and with a bound resource, over RFC 7395 framing."""

    def __init__(
        self, url: str, domain: str, account: tuple[str, str], steps: _Steps, context: ssl.SSLContext | None
    ) -> None:
        self._domain = domain
        self._name, self._password = account
        self._steps = steps
        self.jid = f"{self._name}@{domain}"
        with self._step("opening the WebSocket"):
            self._socket = WebSocketClient(url, context=context)
        try:
            self._log_in()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> _ProbeSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, element: Element) -> None:
        """Send one stanza or other first-level element."""
        self._socket.send(serialise(element, default_namespace=""))

    def expect(self, tag: str) -> Element:
        """The next message as a tree, whose root must be ``tag``. Raises ValueError if it is not."""
        element = self.receive()
        if element.tag != tag:
            raise ValueError(f"expected {tag}, got {_describe(element)}")
        return element

    def receive(self) -> Element:
        """The next message as a tree."""
        return fromstring(self._socket.receive(), forbid_dtd=True)

    def leave(self) -> None:
        """Close the stream, then the WebSocket (RFC 7395 section 3.6)."""
        with self._step("closing the stream"):
            self.send(make(_NS_FRAMING, "close"))
            while self.receive().tag != f"{{{_NS_FRAMING}}}close":
                pass
            self._socket.finish()

    def _step(self, name: str) -> AbstractContextManager[None]:
        return self._steps.step(f"{name} for {self._name}")

    def _log_in(self) -> None:
        with self._step("opening the stream"):
            features = self._open()
        with self._step("logging in"):
            self._authenticate(
                {(item.text or "").strip() for item in features.iter(f"{{{NS_SASL}}}mechanism")}
            )
        with self._step("opening the stream again after the login"):
            self._open()
        with self._step("binding a resource"):
            self._bind()

    def _open(self) -> Element:
        self._socket.send(f"<open xmlns='{_NS_FRAMING}' to={quote_attribute(self._domain)} version='1.0'/>")
        self.expect(f"{{{_NS_FRAMING}}}open")
        return self.expect(f"{{{NS_STREAM}}}features")

    def _authenticate(self, offered: set[str]) -> None:
        scram = [name for name in _SCRAM if name in offered]
        if scram:
            self._authenticate_scram(scram[0])
        elif "PLAIN" in offered:
            credentials = f"\0{self._name}\0{self._password}".encode()
            self._send_auth("auth", credentials, {"mechanism": "PLAIN"})
            self.expect(f"{{{NS_SASL}}}success")
        else:
            raise ValueError(f"the server offers only {', '.join(sorted(offered)) or 'nothing'}")

    def _authenticate_scram(self, mechanism: str) -> None:
        client = ScramClient([mechanism], self._name, self._password)
        self._send_auth("auth", client.get_client_first().encode(), {"mechanism": mechanism})
        client.set_server_first(_octets(self.expect(f"{{{NS_SASL}}}challenge")))
        self._send_auth("response", client.get_client_final().encode(), {})
        client.set_server_final(_octets(self.expect(f"{{{NS_SASL}}}success")))

    def _send_auth(self, name: str, data: bytes, attributes: dict[str, str]) -> None:
        self.send(make(NS_SASL, name, attributes, text=b64encode(data).decode()))

    def _bind(self) -> None:
        request = make(NS_CLIENT, "iq", {"type": "set", "id": "probe-bind"}, make(NS_BIND, "bind"))
        self.send(request)
        reply = self.expect(f"{{{NS_CLIENT}}}iq")
        jid = reply.findtext(f"{{{NS_BIND}}}bind/{{{NS_BIND}}}jid")
        if reply.get("type") != "result" or not jid:
            raise ValueError(f"no resource was bound: {_describe(reply)}")
        self.jid = jid


def _carry_message(speaking: _ProbeSession, listening: _ProbeSession, steps: _Steps) -> None:
    body = f"Grüße & <Küsse> 'aus' \"Köln\" 👋 {secrets.token_hex(8)}"
    message = make(
        NS_CLIENT,
        "message",
        {"type": "chat", "to": listening.jid, "id": "probe-message"},
        make(NS_CLIENT, "body", text=body),
    )
    with steps.step(f"carrying a message from {speaking.jid} to {listening.jid}"):
        speaking.send(message)
        while True:
            arrived = listening.receive()
            if arrived.tag != f"{{{NS_CLIENT}}}message" or arrived.get("id") != "probe-message":
                continue
            if arrived.findtext(f"{{{NS_CLIENT}}}body") != body:
                raise ValueError("the text arrived changed")
            if arrived.get("from") != speaking.jid:
                raise ValueError(f"the message claims to come from {arrived.get('from')}")
            return


def _octets(element: Element) -> str:
    return b64decode(element.text or "", validate=True).decode()


def _describe(element: Element) -> str:
    """An unexpected element: its name and those of its first descendants, never its text."""
    names = [child.tag.rpartition("}")[2] for child in element.iter()]
    return f"<{'/'.join(names[:3])}>"
