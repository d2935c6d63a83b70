"""A client of bytes: the tests spell out what it sends and awaits."""

from __future__ import annotations

import re
from base64 import b64encode

from gevent import Timeout, socket

HEADER = (
    b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)
END = b"</stream:stream>"
FEATURES = b"</stream:features>"
ENABLE = b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
REQUEST = b"<r xmlns='urn:xmpp:sm:3'/>"


def plain(name: str, password: str) -> bytes:
    """The ``<auth/>`` of a PLAIN login."""
    credentials = b64encode(f"\0{name}\0{password}".encode())
    return b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + credentials + b"</auth>"


#: The time for an expected answer, in seconds.
SECONDS = 20.0


class RawClient:
    """A TCP connection to the server; every wait has a deadline."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(SECONDS)
        self.received = b""
        self.jid = ""

    def send(self, data: bytes | str) -> None:
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def until(self, expected: bytes | str) -> str:
        """The bytes up to and including ``expected``, removed from those received."""
        marker = expected.encode() if isinstance(expected, str) else expected
        with Timeout(SECONDS, AssertionError(f"{marker!r} did not come")):
            while marker not in self.received:
                data = self.sock.recv(65536)
                assert data, f"connection ended, waiting for {marker!r}; got {self.received!r}"
                self.received += data
        index = self.received.index(marker) + len(marker)
        taken, self.received = self.received[:index], self.received[index:]
        return taken.decode()

    def rest(self) -> str:
        """The bytes up to the end of the connection."""
        while data := self.sock.recv(65536):
            self.received += data
        taken, self.received = self.received, b""
        return taken.decode()

    def nothing_before(self, request: str = "sync") -> str:
        """The bytes received until now: a ping is sent, and its answer marks the end."""
        self.send(f"<iq type='get' id='{request}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        taken = self.until(f"id='{request}'")
        self.until("/>")
        return taken[: taken.rindex("<iq")]

    def open(self) -> str:
        self.send(HEADER)
        return self.until(FEATURES)

    def authenticate(self, name: str, password: str = "secret") -> None:
        self.open()
        self.send(plain(name, password))
        self.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
        self.open()

    def login(self, name: str, resource: str = "test", password: str = "secret") -> RawClient:
        self.authenticate(name, password)
        self.send(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            f"<resource>{resource}</resource></bind></iq>"
        )
        match = re.search("<jid>(.*)</jid>", self.until("</iq>"))
        assert match is not None
        self.jid = match[1]
        return self

    def available(self, priority: int = 0) -> RawClient:
        """Send presence and see it come back."""
        self.send(f"<presence><priority>{priority}</priority></presence>")
        self.until(f"from='{self.jid}'")
        self.until("</presence>")
        return self

    def roster(self) -> str:
        self.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
        return self.until("id='roster'") + self.until("</iq>")

    def end(self) -> None:
        """Close the stream in order."""
        self.send(END)
        assert self.rest().endswith("</stream:stream>")
        self.close()

    def close(self) -> None:
        """FIN, without a closing tag."""
        self.sock.close()
