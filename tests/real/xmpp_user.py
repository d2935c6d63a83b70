"""Test users of XMPP who see every byte that a server or the gateway sends them.

A ``User`` speaks over a ``Wire``: TCP, or a WebSocket in either framing. A parser without namespaces cuts the
bytes of TCP, so that hostile names pass.
"""

from __future__ import annotations

import base64
import re
import socket
from typing import Protocol
from xml.parsers import expat

from tests.real.legacy import END, OPEN_LEFT_OPEN, OPEN_SELF_CLOSED, Ended, LegacyClient
from tests.support.fixtures import Account

FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
#: The longest time of a step on a slow machine.
SECONDS = 60.0
SM = "urn:xmpp:sm:3"
MAM = "urn:xmpp:mam:2"
_STANZA = re.compile(r"<(?:message|presence|iq)(?=[\s/>])")


class Wire(Protocol):
    """One connection: whole elements in both directions."""

    def open(self, domain: str) -> None:
        """Open a stream, or restart it; returns after the features."""

    def send(self, text: str) -> None: ...

    def receive(self) -> str:
        """The next element; raises Ended at the end of the stream or the connection."""

    def leave(self) -> None:
        """End the stream in an orderly way."""

    def cut(self) -> None:
        """Lose the connection without an end of the stream."""


class TcpWire:
    """A client's connection to an XMPP server's own port."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self._elements = _Elements()

    def open(self, domain: str) -> None:
        self._elements = _Elements()
        self.send(OPEN_LEFT_OPEN.format(domain=domain))
        features = self.receive()
        assert features.startswith("<stream:features"), features

    def send(self, text: str) -> None:
        self._socket.sendall(text.encode())

    def receive(self) -> str:
        while not self._elements.whole:
            chunk = self._socket.recv(65536)
            if not chunk:
                raise Ended(None)
            self._elements.feed(chunk)
        return self._elements.whole.pop(0)

    def leave(self) -> None:
        self.send(END)
        self._socket.close()

    def cut(self) -> None:
        self._socket.close()


class _Elements:
    """Cuts one stream at its children."""

    def __init__(self) -> None:
        self.whole: list[str] = []
        self._parser = expat.ParserCreate("utf-8")
        self._parser.StartElementHandler = self._started
        self._parser.EndElementHandler = self._ended
        self._parser.DefaultHandler = self._text
        # An element is whole before the byte after it has arrived.
        if hasattr(self._parser, "SetReparseDeferralEnabled"):
            self._parser.SetReparseDeferralEnabled(False)
        self._data = b""
        self._taken = 0  # bytes cut off from the start of the data
        self._depth = 0
        self._began = 0

    def feed(self, data: bytes) -> None:
        self._data += data
        self._parser.Parse(data)

    def _started(self, _name: str, _attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 2:
            self._began = self._parser.CurrentByteIndex

    def _ended(self, _name: str) -> None:
        self._depth -= 1
        if self._depth == 0:
            raise Ended(None, "the server ended the stream")
        if self._depth == 1:
            # At an empty element expat is already behind its tag, otherwise before the end tag.
            start = self._began - self._taken
            end = _end_of_tag(self._data, start)
            if self._data[end - 2 : end] != b"/>":
                end = _end_of_tag(self._data, self._parser.CurrentByteIndex - self._taken)
            self.whole.append(self._data[start:end].decode())
            self._data = self._data[end:]
            self._taken += end

    def _text(self, _data: str) -> None:
        """The bytes between elements stay until the next element is cut."""


def _end_of_tag(data: bytes, start: int) -> int:
    tag = re.compile(rb"""<[^>"']*(?:"[^"]*"[^>"']*|'[^']*'[^>"']*)*>""").match(data, start)
    assert tag, data[start : start + 200]
    return tag.end()


class LegacyWire:
    """The framing of the original module, through the gateway."""

    def __init__(self, port: int) -> None:
        self._client = LegacyClient(port, seconds=SECONDS)

    def open(self, domain: str) -> None:
        self._client.send(OPEN_SELF_CLOSED.format(domain=domain))
        header, features = self.receive(), self.receive()
        assert header.startswith("<stream:stream"), header
        assert features.startswith("<stream:features"), features

    def send(self, text: str) -> None:
        self._client.send(text)

    def receive(self) -> str:
        return self._client.receive()

    def leave(self) -> None:
        self.send(END)
        while self.receive() != END:
            pass
        assert self._client.receive_end().code == 1000

    def cut(self) -> None:
        self._client.cut()


class FramedWire(LegacyWire):
    """RFC 7395, through the gateway."""

    def open(self, domain: str) -> None:
        self._client.send(f"<open xmlns='{FRAMING}' to='{domain}' version='1.0'/>")
        header, features = self.receive(), self.receive()
        assert header.startswith("<open"), header
        assert features.startswith("<stream:features"), features

    def leave(self) -> None:
        self.send(f"<close xmlns='{FRAMING}'/>")
        while not self.receive().startswith("<close"):
            pass
        assert self._client.receive_end().code == 1000


class User:
    """One logged-in user, who counts stanzas as XEP-0198 does; with ``managed`` the server counts too."""

    def __init__(self, wire: Wire, account: Account, resource: str, *, managed: bool = False) -> None:
        self.wire = wire
        self.managed = managed
        self.account = account
        self.jid = f"{account.jid}/{resource}"
        self.resource = resource
        #: Stanzas since stream management is enabled.
        self.sent = self.received = 0
        self._session = ""

    def log_in(self) -> User:
        self._authenticate()
        bind = "urn:ietf:params:xml:ns:xmpp-bind"
        self._ask(
            f"<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='{bind}'>"
            f"<resource>{self.resource}</resource></bind></iq>",
            "<iq",
        )
        if self.managed:
            enabled = self._ask(f"<enable xmlns='{SM}' resume='true'/>", "<enabled")
            found = re.search(r"\sid=['\"]([^'\"]+)", enabled)
            assert found, enabled
            self._session = found[1]
        self.sent = self.received = 0
        return self

    def _authenticate(self) -> None:
        domain = self.account.domain
        self.wire.open(domain)
        plain = base64.b64encode(f"\0{self.account.user}\0{self.account.password}".encode()).decode()
        self._ask(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{plain}</auth>", "<success")
        self.wire.open(domain)

    def _ask(self, question: str, answer: str) -> str:
        self.wire.send(question)
        text = self.wire.receive()
        assert text.startswith(answer), text
        return text

    def resume(self, wire: Wire) -> int:
        """Resume the session over a new connection; returns the server's count of handled stanzas."""
        self.wire = wire
        self._authenticate()
        resumed = self._ask(
            f"<resume xmlns='{SM}' previd='{self._session}' h='{self.received}'/>", "<resumed"
        )
        found = re.search(r"\sh=['\"](\d+)", resumed)
        assert found, resumed
        return int(found[1])

    def say(self, stanza: str) -> None:
        """Send one stanza; it declares its namespace where the framing requires that."""
        self.sent += 1
        self.wire.send(stanza)

    def keep_an_archive(self) -> None:
        """Let the server archive every message from now on (XEP-0313)."""
        prefs = f"<prefs xmlns='{MAM}' default='always'><always/><never/></prefs>"
        self.say(f"<iq xmlns='jabber:client' type='set' id='prefs'>{prefs}</iq>")
        self.hear_until("id='prefs'")

    def hear(self) -> str:
        """The next stanza; requests for acknowledgement are answered on the way."""
        while True:
            text = self.wire.receive()
            if _STANZA.match(text):
                self.received += 1
                return text
            if text.startswith("<r "):
                self.wire.send(f"<a xmlns='{SM}' h='{self.received}'/>")
            else:
                assert text.startswith("<a "), text

    def hear_until(self, part: str) -> list[str]:
        """Stanzas up to and including the first with ``part`` in it."""
        heard = [self.hear()]
        while part not in heard[-1]:
            heard.append(self.hear())
        return heard
