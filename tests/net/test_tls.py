"""TLS contexts: the required content of a PEM file, the errors, and the certificates that browsers get."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificate, make_certificate
from tests.support.gateway import Gateway
from tests.support.wire import SECONDS, XmppServer, upgrade_request
from wsgw.errors import ConfigError
from wsgw.net.tls import ALPN_XMPP_CLIENT, UpstreamTls, browser_context

CERTIFICATE_END = "-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("other"), "other.example")


def handshake(
    client: ssl.SSLContext,
    server: ssl.SSLContext,
    name: str | None = "localhost",
    session: ssl.SSLSession | None = None,
) -> ssl.SSLObject:
    """Both ends of a handshake in memory; the client's end, or its ssl.SSLError."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_end = client.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    server_end = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        ready = 0
        for end in (client_end, server_end):
            try:
                end.do_handshake()
                ready += 1
            except ssl.SSLWantReadError:
                pass
        if ready == 2:
            return client_end
    raise AssertionError("no end of the handshake")


def problem(certfile: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        browser_context([certfile])
    (found,) = caught.value.problems
    assert found.file == str(certfile)
    return found.reason


def test_chain_and_key_may_be_in_one_file(certificate: Certificate) -> None:
    client = ssl.create_default_context(cafile=certificate.ca)
    end = handshake(client, browser_context([certificate.pem]))
    assert end.version() == "TLSv1.3"
    assert end.compression() is None


def test_the_key_may_come_before_the_chain(certificate: Certificate, tmp_path: Path) -> None:
    pem = tmp_path / "reversed.pem"
    pem.write_text(certificate.key.read_text() + certificate.chain.read_text())
    handshake(ssl.create_default_context(cafile=certificate.ca), browser_context([pem]))


@pytest.mark.rule("7301")
@pytest.mark.parametrize("offered", [["h2"], ["h2", "http/1.1"], ["http/1.1"]])
def test_alpn_of_browsers_is_http_1_1(certificate: Certificate, offered: list[str]) -> None:
    client = ssl.create_default_context(cafile=certificate.ca)
    client.set_alpn_protocols(offered)
    end = handshake(client, browser_context([certificate.pem]))
    assert end.selected_alpn_protocol() == ("http/1.1" if "http/1.1" in offered else None)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    assert problem(tmp_path / "none.pem") == "cannot be used as certfile: No such file or directory"


def test_a_certificate_without_key_is_an_error(certificate: Certificate) -> None:
    assert problem(certificate.chain).startswith("cannot be used as certfile: ")


def test_the_key_of_another_certificate_is_an_error(
    certificate: Certificate, other: Certificate, tmp_path: Path
) -> None:
    pem = tmp_path / "mixed.pem"
    pem.write_text(certificate.chain.read_text() + other.key.read_text())
    assert problem(pem).startswith("cannot be used as certfile: key values mismatch: the key belongs to ")


def test_a_key_with_a_passphrase_is_an_error_without_a_prompt(
    certificate: Certificate, tmp_path: Path
) -> None:
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-in", certificate.key, "-aes128", "-passout", "pass:x", "-out", locked],
        check=True,
        capture_output=True,
    )
    pem = tmp_path / "locked.pem"
    pem.write_text(certificate.chain.read_text() + locked.read_text())
    assert problem(pem).startswith("cannot be used as certfile: ")


def test_garbage_is_an_error(tmp_path: Path) -> None:
    pem = tmp_path / "garbage.pem"
    pem.write_text(f"-----BEGIN CERTIFICATE-----\nnothing\n{CERTIFICATE_END}")
    assert problem(pem).startswith("cannot be used as certfile: ")


def test_an_unusable_cafile_is_an_error(tmp_path: Path) -> None:
    for text in ("", "nothing", f"-----BEGIN CERTIFICATE-----\nAAAA\n{CERTIFICATE_END}"):
        cafile = tmp_path / "ca.pem"
        cafile.write_text(text)
        with pytest.raises(ConfigError, match="cannot be used as upstream_cafile"):
            UpstreamTls(verify=True, cafile=cafile, trusted=())


def test_named_certificates_that_cannot_be_read_are_skipped(tmp_path: Path) -> None:
    """They are files of the XMPP server."""
    broken = tmp_path / "broken.pem"
    broken.write_text(f"-----BEGIN CERTIFICATE-----\n@@@@=\n{CERTIFICATE_END}")
    tls = UpstreamTls(verify=True, cafile=None, trusted=(broken, tmp_path / "none.pem", tmp_path))
    (only,) = tls.attempts
    assert only.verify_mode is ssl.CERT_REQUIRED


def test_a_verified_context_checks_the_name(certificate: Certificate, other: Certificate) -> None:
    tls = UpstreamTls(verify=True, cafile=certificate.ca, trusted=(), alpn=(ALPN_XMPP_CLIENT,))
    (context,) = tls.attempts
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    handshake(context, browser_context([certificate.pem]))
    for name, server in (("wrong.example", certificate), ("other.example", other)):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(context, browser_context([server.pem]), name)


def test_a_named_certificate_is_tried_first_and_then_the_last_that_worked(
    certificate: Certificate, other: Certificate
) -> None:
    tls = UpstreamTls(verify=True, cafile=certificate.ca, trusted=(other.pem,))
    unverified, verified = tls.attempts
    shown = handshake(unverified, browser_context([certificate.pem])).getpeercert(binary_form=True)
    assert not tls.accepts(unverified, shown)
    assert not tls.accepts(unverified, None)
    assert tls.attempts == (unverified, verified)
    assert tls.accepts(verified, shown)
    assert tls.attempts == (verified, unverified)
    named = handshake(unverified, browser_context([other.pem])).getpeercert(binary_form=True)
    assert tls.accepts(unverified, named)
    assert tls.attempts == (unverified, verified)


def test_without_verification_nothing_is_checked() -> None:
    tls = UpstreamTls(verify=False, cafile=None, trusted=())
    (context,) = tls.attempts
    assert context.verify_mode is ssl.CERT_NONE
    assert tls.accepts(context, b"anything")


@pytest.fixture(scope="module")
def edge(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose PEM file has a chain of two certificates, and the key."""
    folder = tmp_path_factory.mktemp("chain")
    pem = folder / "chain-of-two.pem"
    pem.write_text(certificate.chain.read_text() + certificate.ca.read_text() + certificate.key.read_text())
    whole = Certificate(certificate.ca, certificate.chain, certificate.key, pem)
    server = XmppServer()
    gateway = Gateway(folder, whole, server.port)
    try:
        yield gateway.start()
        assert gateway.stop() == 0
    finally:
        gateway.close()
        server.close()


@pytest.mark.rule("8446-4.4.2")
def test_the_whole_chain_is_sent(edge: Gateway) -> None:
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{edge.wss_port}", "-showcerts"],
        input=b"",
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert shown.stdout.count(b"-----BEGIN CERTIFICATE-----") == 2


@pytest.mark.rule("9325-3.5")
def test_a_renegotiation_is_refused(edge: Gateway, certificate: Certificate) -> None:
    """A client that asks for it in TLS 1.2 gets an alert, and costs no CPU time."""
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{edge.wss_port}", "-tls1_2"],
        input=b"R\n",
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert b"no renegotiation" in shown.stderr + shown.stdout


@pytest.mark.rule("8446-2.2")
def test_a_tls_session_is_resumed_at_every_worker(edge: Gateway, certificate: Certificate) -> None:
    """Every worker accepts the tickets of the others: a reconnecting client saves the signature."""
    assert len(edge.workers) == 2
    context = ssl.create_default_context(cafile=certificate.ca)
    open_ones = [visit(context, edge.wss_port, None)]
    session = open_ones[0].session
    open_ones += [visit(context, edge.wss_port, session) for _ in range(6)]
    assert [sock.session_reused for sock in open_ones] == [False] + 6 * [True]
    for sock in open_ones:
        sock.close()


def visit(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None) -> ssl.SSLSocket:
    """A connection that has received the 101, and so the tickets sent before."""
    plain = socket.create_connection(("127.0.0.1", port), SECONDS)
    sock = context.wrap_socket(plain, server_hostname="localhost", session=session)
    sock.sendall(upgrade_request())
    assert sock.recv(4096).startswith(b"HTTP/1.1 101 ")
    return sock


def test_close_notify_ends_a_refused_request(edge: Gateway, certificate: Certificate) -> None:
    context = ssl.create_default_context(cafile=certificate.ca)
    plain = socket.create_connection(("127.0.0.1", edge.wss_port), SECONDS)
    with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        answer = b""
        while data := sock.recv(4096):  # ssl.SSLEOFError if the FIN comes without close_notify
            answer += data
    assert answer.startswith(b"HTTP/1.1 400 Bad request: need exactly one 'Host' header\r\n")
