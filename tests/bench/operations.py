"""Counts the bytecode instructions and calls of C functions for a login and for messages.

It runs a whole gateway in this process, on real sockets, and plays browser and XMPP server from the main
greenlet, which is not counted. The counts do not depend on the speed or the load of the machine; they depend
on the minor version of Python. ``python -m tests.bench.operations`` prints them as JSON; with ``--store`` it
writes them into ``operations.json``, with which the test compares.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import gevent

from tests.bench.counter import Counter
from tests.support.certificates import Certificate, make_certificate
from tests.support.processes import ReservedPort
from wsgw._native.choice import core
from wsgw.config import load
from wsgw.gateway import Gateway

STORED = Path(__file__).with_name("operations.json")
#: The key of the stored figures: the version of Python, and whether the native functions are in use.
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
KEY = VERSION if core() is None else f"{VERSION} native"
LOGINS = 9
MESSAGES = 25

CONFIG = """\
hosts: [localhost]
listen:
  - {{port: {ws_port}, ip: "127.0.0.1", module: websocket_session,
     request_handlers: {{/ws-xmpp: mod_websocket}}, upstream: "tcp://127.0.0.1:{c2s_port}"}}
  - {{port: {wss_port}, ip: "127.0.0.1", module: websocket_session, tls: true, certfile: "{pem}",
     request_handlers: {{/ws-xmpp: mod_websocket}}, upstream: "tcp://127.0.0.1:{c2s_port}"}}
"""
REQUEST = (
    b"GET /ws-xmpp HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: xmpp\r\n\r\n"
)
OPEN = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>"
SASL = b"xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
AUTH = b"<auth %s mechanism='PLAIN'>%s</auth>" % (SASL, base64.b64encode(b"\0user\0pw"))
BIND = b"xmlns='urn:ietf:params:xml:ns:xmpp-bind'"
HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' id='1' from='localhost' version='1.0'"
    b" xmlns:stream='http://etherx.jabber.org/streams'>"
)
FEATURES = b"<stream:features>%s</stream:features>"
OFFERED = FEATURES % (b"<mechanisms %s><mechanism>PLAIN</mechanism></mechanisms>" % SASL)
BOUND = (
    b"<iq type='result' id='bind'><bind %s><jid>user@localhost/r</jid></bind></iq>" % BIND,
    b"<iq xmlns='jabber:client' type='set' id='bind'><bind %s/></iq>" % BIND,
)
#: The counts of each figure.
Counts = dict[str, float]


class Peer:
    """One end of a connection, in the main greenlet; while it waits, the gateway's greenlets run."""

    def __init__(self, sock: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.socket = sock
        self._watcher = gevent.get_hub().loop.io(sock.fileno(), 1)
        self._received = b""
        if tls is not None:
            self.socket = tls.wrap_socket(sock, server_hostname="localhost", do_handshake_on_connect=False)
            self._again(self.socket.do_handshake)

    def _again(self, what: Callable[[], Any]) -> Any:
        while True:
            try:
                return what()
            except (BlockingIOError, ssl.SSLWantReadError):
                gevent.get_hub().wait(self._watcher)

    def send(self, data: bytes) -> None:
        """``data`` fits into the kernel's buffers."""
        assert self.socket.send(data) == len(data)

    def until(self, end: bytes) -> bytes:
        """The bytes up to and including ``end``."""
        while end not in self._received:
            chunk = self._again(lambda: self.socket.recv(1 << 20))
            assert chunk, f"closed before {end!r} came: {self._received[-300:]!r}"
            self._received += chunk
        at = self._received.index(end) + len(end)
        data, self._received = self._received[:at], self._received[at:]
        return data

    def text(self, payload: bytes) -> None:
        """Send one frame, masked with zeros: the work is the same for every mask."""
        size = len(payload)
        length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        self.send(b"\x81" + length + b"\0\0\0\0" + payload)

    def close(self) -> None:
        self._watcher.close()
        self.socket.close()


class Bench:
    """A gateway in this process, and the server behind it."""

    def __init__(self, folder: Path) -> None:
        self.certificate: Certificate = make_certificate(folder / "certificate")
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        ports = [ReservedPort(), ReservedPort()]
        self.ws_port, self.wss_port = (port.number for port in ports)
        config = folder / "wsgw.yml"
        config.write_text(
            CONFIG.format(
                ws_port=self.ws_port,
                wss_port=self.wss_port,
                c2s_port=self._server.getsockname()[1],
                pem=self.certificate.pem,
            )
        )
        self.gateway = Gateway.alone(load(config))
        self.gateway.start()

    def login(self, *, secure: bool = False) -> tuple[Peer, Peer]:
        """A browser's session, bound, and the server's end of it."""
        context = ssl.create_default_context(cafile=str(self.certificate.ca)) if secure else None
        browser = Peer(
            socket.create_connection(("127.0.0.1", self.wss_port if secure else self.ws_port)), context
        )
        browser.send(REQUEST)
        browser.until(b"\r\n\r\n")
        browser.text(OPEN)
        gevent.get_hub().wait(gevent.get_hub().loop.io(self._server.fileno(), 1))
        server = Peer(self._server.accept()[0])
        server.until(b"version='1.0'>")
        server.send(HEADER + OFFERED)
        browser.until(b"features>")
        browser.text(AUTH)
        server.until(b"</auth>")
        server.send(b"<success %s/>" % SASL)
        browser.until(b"/>")
        browser.text(OPEN)
        server.until(b"version='1.0'>")
        server.send(HEADER + FEATURES % (b"<bind %s/>" % BIND))
        browser.until(b"features>")
        browser.text(BOUND[1])
        server.until(b"</iq>")
        server.send(BOUND[0])
        browser.until(b"</iq>")
        return browser, server


def there_and_back(browser: Peer, server: Peer, body: int) -> None:
    """One message to the server, and one to the browser."""
    browser.text(b"<message xmlns='jabber:client' to='u@localhost'><body>%s</body></message>" % (b"x" * body))
    server.until(b"</message>")
    server.send(b"<message from='u@localhost'><body>%s</body></message>" % (b"x" * body))
    browser.until(b"</message>")


def _median(counted: list[tuple[int, int]]) -> Counts:
    """Sometimes the sweep, a timer, runs within one of the steps."""
    return {
        "instructions": median(instructions for instructions, _ in counted),
        "c_calls": median(c_calls for _, c_calls in counted),
    }


def count() -> dict[str, Counts]:
    """Every figure, by name."""
    figures = {}
    with tempfile.TemporaryDirectory(prefix="wsgw-bench-") as name:
        bench = Bench(Path(name))
        for way, secure in (("", False), (" over TLS", True)):
            pairs = [bench.login(secure=secure)]
            counter = Counter()

            def login(secure: bool = secure, pairs: list[tuple[Peer, Peer]] = pairs) -> None:
                pairs.append(bench.login(secure=secure))

            figures[f"login{way}"] = _median([counter.of(login) for _ in range(LOGINS)])
            browser, server = pairs[0]
            for size in (100, 4096):
                steps = [
                    counter.of(lambda n=size: there_and_back(browser, server, n))  # type: ignore[misc] # noqa: B023
                    for _ in range(MESSAGES)
                ]
                figures[f"message of {size} B there and back{way}"] = _median(steps)
            counter.stop()
            for browser, server in pairs:
                browser.close()
                server.close()
        bench.gateway.stop()
    return figures


def main() -> None:
    """Print the figures, or store them for this Python."""
    figures = count()
    if "--store" in sys.argv[1:]:
        stored = json.loads(STORED.read_text("utf-8")) if STORED.exists() else {}
        stored[KEY] = figures
        ordered = dict(
            sorted(stored.items(), key=lambda item: (int(item[0].split()[0].split(".")[1]), item[0]))
        )
        STORED.write_text(json.dumps(ordered, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
