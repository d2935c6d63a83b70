"""A scripted XMPP server: plain sockets, with TLS by Python's ``ssl``."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Iterator

from tests.support.certificates import Certificate
from tests.support.gateway import Gateway
from tests.support.processes import wait_until
from tests.support.wire import (
    CLOSE_7395,
    END,
    OPENINGS,
    SECONDS,
    SERVER_HEADER,
    Browser,
    Connection,
    XmppServer,
    frame,
    within,
)

OPEN = OPENINGS["rfc7395"]
PLAIN = b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></stream:features>"
STARTTLS = (
    b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
    b"</stream:features>"
)
PROCEED = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
#: Never reached: an attempt that succeeds, or fails at once, ends before the deadline of a read.
PATIENT = "{workers, 1}, {connect_timeout, 60}, "
#: For attempts that the deadline ends; by default it is as long as that of a read.
HASTY = "{workers, 1}, {connect_timeout, 2}, "
#: From the opening of a stream to the end of such an attempt on a busy machine, in seconds.
SOON = 4.0


class Hello:
    """The first message of the gateway's TLS client."""

    name: str | None = None


def server_context(certificate: Certificate, hello: Hello, alpn: bool = True) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    if alpn:
        context.set_alpn_protocols(["xmpp-client"])

    def note(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        hello.name = name

    context.sni_callback = note
    return context


def secured(connection: Connection, context: ssl.SSLContext) -> Connection:
    """The connection after the TLS handshake; ssl.SSLError if the gateway refuses or closes."""
    sock = connection.socket.dup()
    connection.close()
    sock.settimeout(SECONDS)
    return Connection(context.wrap_socket(sock, server_side=True))


def negotiate(server: XmppServer) -> Connection:
    """The part of a session until STARTTLS is done."""
    connection = server.accept()
    connection.read_until(b"version='1.0'>")
    connection.send(SERVER_HEADER + STARTTLS)
    assert connection.read_until(b"/>") == b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
    connection.send(PROCEED)
    return connection


def assert_relays(browser: Browser, server: Connection) -> None:
    """Bytes pass both ways, and the session ends in order."""
    assert server.read_until(b"version='1.0'>").startswith(b"<?xml version='1.0'?><stream:stream ")
    server.send(SERVER_HEADER + PLAIN)
    assert browser.message().startswith(b"<open ")
    assert b"mechanisms" in browser.message()
    browser.text(CLOSE_7395)
    assert server.read_until(END)
    server.close()
    assert browser.until_close()[1] == 1000
    browser.close()


def assert_fails(browser: Browser) -> None:
    """The browser soon gets the error that the server cannot be reached, in the RFC's order."""
    with within(SOON):
        messages, code, reason = browser.until_close()
    assert [message[:13] for message in messages] == [b"<open xmlns='", b"<stream:error", CLOSE_7395[:13]]
    assert b"<remote-connection-failed " in messages[1]
    assert b"the XMPP server cannot be reached" in messages[1]
    assert (code, reason) == (1011, "remote-connection-failed")
    browser.close()


def open_stream(gateway: Gateway) -> Browser:
    return Browser(gateway.ws_port, first=frame(OPEN))


def logged(gateway: Gateway, pattern: str, already: int = 0) -> None:
    """A line of the log after its first ``already`` characters."""

    def found() -> bool:
        return re.search(pattern, gateway.child.text()[already:]) is not None

    wait_until(found, SECONDS, f"{pattern} in the log")


@contextlib.contextmanager
def dropping() -> Iterator[int]:
    """A port of loopback that answers no SYN: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def tls_options(server: XmppServer, scheme: str, certificate: Certificate | None, more: str = "") -> str:
    cafile = f'{{upstream_cafile, "{certificate.ca}"}}, ' if certificate else ""
    return f'{{upstream, "{scheme}://127.0.0.1:{server.port}"}}, {cafile}{more}'


def accept_tls(server: XmppServer, scheme: str, context: ssl.SSLContext) -> Connection:
    return secured(negotiate(server) if scheme == "starttls" else server.accept(), context)
