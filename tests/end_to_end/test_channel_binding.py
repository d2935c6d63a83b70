"""A login that is bound to the server's certificate (RFC 5929 section 4) passes two TLS connections."""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from scramp import ScramClient, ScramException, ScramMechanism

from tests.support.certificates import Certificate, make_certificate
from tests.support.edges import StartEdge
from tests.support.wire import OPENINGS, SERVER_HEADER, Browser, Connection, XmppServer

SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
MECHANISM = "SCRAM-SHA-256-PLUS"
MECHANISMS = f"<mechanisms xmlns='{SASL}'><mechanism>{MECHANISM}</mechanism></mechanisms>"
OFFER = f"<stream:features>{MECHANISMS}</stream:features>"
FAILURE = f"<failure xmlns='{SASL}'><not-authorized/></failure>"


def binding(certificate: bytes) -> tuple[str, bytes]:
    """The channel binding of a certificate in DER that is signed with SHA-256."""
    return "tls-server-end-point", hashlib.sha256(certificate).digest()


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def content(element: bytes) -> str:
    found = re.search(b">([^<]*)<", element)
    assert found is not None, element
    return base64.b64decode(found[1]).decode()


def play_server(server: XmppServer, certificate: Certificate) -> None:
    """Play a login, and end the connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.pem)
    plain = server.accept()
    plain.opened.discard(plain)
    stream = Connection(context.wrap_socket(plain.socket, server_side=True))
    own = ssl.PEM_cert_to_DER_cert(certificate.chain.read_text())
    mechanism = ScramMechanism(MECHANISM)
    account = mechanism.make_auth_info("secret")
    scram = mechanism.make_server(lambda _user: account, channel_binding=binding(own))
    stream.read_until(b"version='1.0'>")
    stream.send(SERVER_HEADER + OFFER.encode())
    scram.set_client_first(content(stream.read_until(b"</auth>")))
    stream.send(f"<challenge xmlns='{SASL}'>{encoded(scram.get_server_first())}</challenge>".encode())
    try:
        scram.set_client_final(content(stream.read_until(b"</response>")))
    except ScramException:
        stream.send(FAILURE.encode())
    else:
        stream.send(f"<success xmlns='{SASL}'>{encoded(scram.get_server_final())}</success>".encode())
    stream.read_to_end()


@pytest.mark.rule("xep-0440")
@pytest.mark.parametrize("same", [True, False], ids=["the same certificate", "two certificates"])
def test_a_login_bound_to_the_certificate_needs_the_same_one_on_both_sides(
    start_edge: StartEdge, xmpp_server: XmppServer, certificate: Certificate, tmp_path: Path, same: bool
) -> None:
    servers = certificate if same else make_certificate(tmp_path)
    edge = start_edge(c2s_options=f'tls, {{certfile, "{servers.pem}"}}, ')
    with ThreadPoolExecutor(1) as pool:
        played = pool.submit(play_server, xmpp_server, servers)
        browser = Browser(edge.wss_port, context=ssl.create_default_context(cafile=certificate.ca))
        assert isinstance(browser.socket, ssl.SSLSocket)
        shown = browser.socket.getpeercert(binary_form=True)
        assert shown is not None
        client = ScramClient([MECHANISM], "alice", "secret", channel_binding=binding(shown))
        browser.text(OPENINGS["rfc7395"])
        assert browser.message().startswith(b"<open ")
        assert MECHANISM.encode() in browser.message()
        first = encoded(client.get_client_first())
        browser.text(f"<auth xmlns='{SASL}' mechanism='{MECHANISM}'>{first}</auth>".encode())
        client.set_server_first(content(browser.message()))
        browser.text(f"<response xmlns='{SASL}'>{encoded(client.get_client_final())}</response>".encode())
        answer = browser.message()
        if same:
            assert answer.startswith(b"<success ")
            client.set_server_final(content(answer))
        else:
            assert answer == FAILURE.encode()
        browser.close()
        played.result()
