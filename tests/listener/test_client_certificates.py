"""Certificates of clients (``tls_verify``): accepted, refused, logged, and told to the XMPP server."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.listener.heads import GOOD, OPEN, SWITCHING, request
from tests.ops.admin import Admin
from tests.support.certificates import Certificate, make_certificate
from tests.support.edges import StartEdge
from tests.support.gateway import ERLANG_CONFIG, Gateway
from tests.support.observe import PATIENCE, said
from tests.support.processes import ReservedPort, wait_until
from tests.support.wire import SECONDS, Browser, XmppServer, frame

VERIFIED = "{{tls, true}}, {{tls_verify, true}}, {{cafile, "


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("person"), "Jürgen Person", alternative=False)


@pytest.fixture(scope="module")
def admin_port() -> Iterator[int]:
    port = ReservedPort()
    yield port.number
    port.release()


@pytest.fixture(scope="module")
def edge(start_edge: StartEdge, person: Certificate, admin_port: int) -> Gateway:
    """A gateway whose port with TLS asks for certificates of the authority of ``person``."""
    return start_edge(
        config=ERLANG_CONFIG.replace("{{tls, true}}", f'{VERIFIED}"{person.ca}"}}}}'),
        ws_options="{upstream_proxy_protocol, v2}, ",
        top_level=f"{{listen, [{{{admin_port}, wsgw_admin, []}}]}}.\n",
        arguments=("--log-format", "json"),
    )


def client_with(certificate: Certificate, shown: Certificate | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate.ca)
    if shown is not None:
        context.load_cert_chain(shown.pem)
    return context


def lines(edge: Gateway, event: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in edge.child.text().splitlines() if line.endswith("}")]
    return [line for line in found if line.get("event") == event]


def tls_of_the_client(xmpp_server: XmppServer) -> bytes:
    """The value of the TLV ``PP2_TYPE_SSL`` (0x20) in the PROXY header that the XMPP server receives."""
    body = b""
    while not body:  # the gateway itself tries the server out, for its readiness
        server = xmpp_server.accept()
        body = server.read(int.from_bytes(server.read(16)[14:], "big"))[12:]
        server.close()
    while body[0] != 0x20:
        body = body[3 + int.from_bytes(body[1:3], "big") :]
    return body[3 : 3 + int.from_bytes(body[1:3], "big")]


def test_the_xmpp_server_gets_the_name_in_the_certificate(
    edge: Gateway, xmpp_server: XmppServer, certificate: Certificate, person: Certificate
) -> None:
    """2.2.5 of proxy-protocol.txt: TLS, with a certificate in this connection and session, verified."""
    context = client_with(certificate, person)
    browser = Browser(edge.wss_port, context=context, headers=("X-Request-ID: one",), first=frame(OPEN))
    value = tls_of_the_client(xmpp_server)
    assert value[:5] == b"\x07\0\0\0\0"
    assert value[5:].startswith(b"\x21\0\x07TLSv1.3\x23\0")
    assert value.endswith(b"\x22\0\x0eJ\xc3\xbcrgen Person")
    browser.close()
    wait_until(lambda: bool(lines(edge, "closed")), PATIENCE, "the line")
    for event in ("opened", "closed"):
        assert {line["common_name"] for line in lines(edge, event)} == {"Jürgen Person"}


@pytest.mark.parametrize(
    ("shown", "cause", "alert"),
    [
        (None, "TLS: PEER_DID_NOT_RETURN_A_CERTIFICATE", "CERTIFICATE_REQUIRED"),
        ("other", "TLS: the client's certificate: self-signed certificate in ", "UNKNOWN_CA"),
    ],
)
def test_a_client_without_a_valid_certificate_is_refused(
    edge: Gateway, admin_port: int, certificate: Certificate, shown: str | None, cause: str, alert: str
) -> None:
    """The client learns it when it reads: in TLS 1.3 its own handshake ends before wsgw has checked."""
    admin = Admin(admin_port, edge)
    before = refused(admin)
    context = client_with(certificate, certificate if shown else None)
    with socket.create_connection(("127.0.0.1", edge.wss_port), SECONDS) as plain:
        secure = context.wrap_socket(plain, server_hostname="localhost")
        with pytest.raises(ssl.SSLError, match=alert):
            secure.recv(1)
        secure.close()
    said(edge, re.escape(cause))
    wait_until(lambda: refused(admin) == before + 1, PATIENCE, "the counter")


def refused(admin: Admin) -> float:
    return admin.metrics().value("wsgw_connections_refused_total", reason="tls_verify", status="")


def test_no_session_is_resumed(edge: Gateway, certificate: Certificate, person: Certificate) -> None:
    """Unlike on a listener that asks for no certificate, see ``tests/net/test_tls.py``."""
    context, session, reused = client_with(certificate, person), None, []
    for _ in range(4):
        plain = socket.create_connection(("127.0.0.1", edge.wss_port), SECONDS)
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as secure:
            secure.sendall(request(*GOOD))
            assert secure.recv(4096).startswith(SWITCHING)
            reused.append(secure.session_reused)
            session = secure.session
            assert session is None or not session.has_ticket
    assert reused == [False] * 4


def test_other_ports_ask_for_no_certificate(edge: Gateway) -> None:
    browser = Browser(edge.ws_port)
    assert browser.head.startswith("HTTP/1.1 101 ")
    browser.close()
