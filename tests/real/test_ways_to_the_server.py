"""How wsgw reaches the XMPP server: plain, STARTTLS, direct TLS; and the options for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.real.legacy import END, OPEN_SELF_CLOSED, LegacyClient, old_strophe
from tests.support.certificates import Certificate, make_certificate
from tests.support.fixtures import Account
from tests.support.gateway import Gateway
from tests.support.processes import accepts
from tests.support.servers import Server

StartGateway = Callable[..., Gateway]


@pytest.fixture
def start(tmp_path: Path, certificate: Certificate) -> Iterator[StartGateway]:
    """``start(port, **options)``: a gateway for this test only (see ``Gateway``)."""
    started: list[Gateway] = []

    def start_one(c2s_port: int, **options: str) -> Gateway:
        gateway = Gateway(tmp_path / f"gateway{len(started)}", certificate, c2s_port, **options)  # type: ignore[arg-type]
        started.append(gateway)
        return gateway.start()

    yield start_one
    for gateway in started:
        gateway.close()


def log_in(gateway: Gateway, account: Account) -> None:
    """A whole session with one message, in legacy framing."""
    with LegacyClient(gateway.ws_port) as browser:
        for exchange in old_strophe(account.user, account.password, account.domain):
            browser.send(exchange.say)
            frames = browser.receive_until(exchange.until)
            assert len(frames) == exchange.frames, frames
            assert "starttls" not in frames[-1]
        browser.send(END)
        assert browser.receive() == END


@pytest.mark.parametrize(
    ("port", "options"),
    [("c2s_starttls_port", "starttls_required"), ("c2s_tls_port", "tls")],
    ids=["starttls", "tls"],
)
def test_the_security_of_the_files_c2s_listener_is_used(
    ejabberd: Server, new_account: Callable[[Server], Account], start: StartGateway, port: str, options: str
) -> None:
    """The upstream is the c2s listener of the same file; the certificate that it names is trusted."""
    pem = ejabberd.certificate.pem
    gateway = start(getattr(ejabberd, port), c2s_options=f'{options}, {{certfile, "{pem}"}}, ')
    log_in(gateway, new_account(ejabberd))


@pytest.mark.rule("6120-5.4.3.3")
@pytest.mark.parametrize(("scheme", "port"), [("starttls", "c2s_port"), ("tls", "c2s_tls_port")])
def test_an_upstream_with_a_cafile_is_reached(
    prosody: Server, new_account: Callable[[Server], Account], start: StartGateway, scheme: str, port: str
) -> None:
    uri = f"{scheme}://127.0.0.1:{getattr(prosody, port)}"
    options = f'{{upstream, "{uri}"}}, {{upstream_cafile, "{prosody.certificate.ca}"}}, '
    log_in(start(1, ws_options=options), new_account(prosody))


@pytest.mark.rule("6120-13.7.2")
def test_an_unknown_authority_is_refused(
    prosody: Server, start: StartGateway, tmp_path: Path, certificate: Certificate
) -> None:
    stranger = make_certificate(tmp_path / "stranger")
    uri = f"tls://127.0.0.1:{prosody.c2s_tls_port}"
    options = f'{{upstream, "{uri}"}}, {{upstream_cafile, "{stranger.ca}"}}, '
    gateway = start(1, ws_options=options)
    with LegacyClient(gateway.ws_port) as browser:
        browser.send(OPEN_SELF_CLOSED.format(domain="localhost"))
        frames = browser.receive_until(END)
        end = browser.receive_end()
    assert "<remote-connection-failed " in frames[1], frames
    assert end.code == 1011


def test_a_server_that_requires_starttls_on_a_plain_upstream_is_an_error(
    ejabberd: Server, start: StartGateway
) -> None:
    """The ERROR in the log names the action; the client gets the same words."""
    gateway = start(ejabberd.c2s_starttls_port)
    with LegacyClient(gateway.ws_port) as browser:
        browser.send(OPEN_SELF_CLOSED.format(domain="localhost"))
        frames = browser.receive_until(END)
        end = browser.receive_end()
    assert "<remote-connection-failed " in frames[-2], frames
    assert "starttls://" in frames[-2]
    assert end.code == 1011
    assert gateway.stop() == 0
    errors = [line for line in gateway.log.read_text().splitlines() if " ERROR " in line]
    assert any("starttls://" in line for line in errors), gateway.log.read_text()


def test_a_server_that_was_down_is_used_again(
    prosody: Server, new_account: Callable[[Server], Account], start: StartGateway
) -> None:
    account = new_account(prosody)
    gateway = start(prosody.c2s_port)
    log_in(gateway, account)
    with LegacyClient(gateway.ws_port) as witness:
        witness.send(OPEN_SELF_CLOSED.format(domain="localhost"))
        witness.receive_until("</stream:features>")
        prosody.kill()
        try:
            lost = witness.receive_until(END)
            assert "<remote-connection-failed " in lost[-2], lost
            assert witness.receive_end().code == 1011
            assert not accepts(prosody.c2s_port)
            with LegacyClient(gateway.ws_port) as browser:
                browser.send(OPEN_SELF_CLOSED.format(domain="localhost"))
                assert "<remote-connection-failed " in browser.receive_until(END)[1]
                assert browser.receive_end().code == 1011
        finally:
            prosody.start()
    log_in(gateway, account)


def test_arguments_replace_a_file(
    prosody: Server, new_account: Callable[[Server], Account], certificate: Certificate, tmp_path: Path
) -> None:
    gateway = Gateway(tmp_path, certificate, prosody.c2s_port, flags=True)
    try:
        log_in(gateway.start(), new_account(prosody))
        assert gateway.stop() == 0
        gateway.assert_clean_log(prosody.accounts)
    finally:
        gateway.close()
