"""Old Strophe, with the framing of the original module, gets the XMPP server's own bytes."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

import pytest

from tests.real.legacy import (
    END,
    OPEN_LEFT_OPEN,
    OPEN_SELF_CLOSED,
    TEXT,
    LegacyClient,
    TcpClient,
    comparable,
    masked,
    old_strophe,
)
from tests.support.fixtures import Account
from tests.support.gateway import Gateway
from tests.support.processes import wait_until
from tests.support.servers import Server
from tests.support.wire import OPENINGS

#: XEP-0078, with an id that is also a word of the protocol.
OLDEST_LOGIN = (
    "<iq type='set' id='result'><query xmlns='jabber:iq:auth'><username>{user}</username>"
    "<password>{password}</password>{resource}</query></iq>"
)
RESOURCE = "<resource>oldest</resource>"


@pytest.fixture
def account(server: Server, new_account: Callable[[Server], Account]) -> Account:
    return new_account(server)


@pytest.mark.rule("bytes-own")
@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("opening", [OPEN_SELF_CLOSED, OPEN_LEFT_OPEN], ids=["self-closed", "left-open"])
def test_a_whole_session_is_the_servers_own_bytes(
    server: Server, gateway: Gateway, account: Account, opening: str, scheme: str
) -> None:
    expected = []
    with TcpClient(server.c2s_port) as tcp:
        for exchange in old_strophe(account.user, account.password, server.domain, OPEN_LEFT_OPEN):
            tcp.send(exchange.say)
            expected.append(comparable(tcp.receive_until(exchange.until)))
        tcp.send(END)
        assert tcp.receive_until(END) == END

    port, ca = (gateway.ws_port, None) if scheme == "ws" else (gateway.wss_port, server.certificate.ca)
    with LegacyClient(port, ca=ca) as browser:
        dialogue = old_strophe(account.user, account.password, server.domain, opening)
        for exchange, answer in zip(dialogue, expected, strict=True):
            browser.send(exchange.say)
            frames = browser.receive_until(exchange.until)
            assert comparable("".join(frames)) == answer
            assert len(frames) == exchange.frames, frames
            assert not frames[0].startswith("<?xml")
        for blank in ("", " ", "    "):
            browser.send(blank)
            assert browser.receive() == " "
        browser.send(END)
        assert browser.receive() == END
        assert browser.receive_end().code == 1000


@pytest.mark.rule("7395-3.9")
def test_starttls_is_not_offered(server: Server, gateway: Gateway) -> None:
    with LegacyClient(gateway.ws_port) as browser:
        browser.send(OPEN_SELF_CLOSED.format(domain=server.domain))
        header, features = browser.receive_until("</stream:features>")
    assert header.startswith("<stream:stream ")
    assert not header.endswith("/>")
    assert features.startswith("<stream:features>")
    assert "starttls" not in features


@pytest.mark.rule("xep-0478-bytes", "xep-0478-idle")
@pytest.mark.parametrize("framing", ["legacy", "rfc7395"])
def test_the_limits_of_the_gateway_are_announced(server: Server, gateway: Gateway, framing: str) -> None:
    """Exactly once, whether the server announces its limits or not."""
    with LegacyClient(gateway.ws_port) as browser:
        browser.send(OPENINGS[framing].decode().replace("localhost", server.domain))
        _, features = browser.receive_until("</stream:features>")
    assert re.findall(r"<max-bytes>(\d+)</max-bytes>", features) == ["10000"]
    (idle,) = re.findall(r"<idle-seconds>(\d+)</idle-seconds>", features)
    assert 0 < int(idle) <= 300


@pytest.mark.rule("regression-segment")
def test_the_first_frame_may_come_in_the_segment_of_the_request(server: Server, gateway: Gateway) -> None:
    first = masked(TEXT, OPEN_SELF_CLOSED.format(domain=server.domain).encode())
    with LegacyClient(gateway.ws_port, first=first) as browser:
        assert len(browser.receive_until("</stream:features>")) == 2


@pytest.mark.rule("end-host")
def test_an_unknown_host_is_an_error_in_three_frames(server: Server, gateway: Gateway) -> None:
    with LegacyClient(gateway.ws_port) as browser:
        browser.send(OPEN_SELF_CLOSED.format(domain="nowhere.example"))
        frames = browser.receive_until(END)
        end = browser.receive_end()
    assert len(frames) == 3, frames
    assert frames[0].startswith("<stream:stream ")
    assert "xmlns='jabber:client'" in frames[0]
    assert frames[1].startswith("<stream:error><host-unknown ")
    assert end.code == 1008
    assert "host-unknown" in end.reason


def test_the_answer_to_a_wrong_password_is_the_servers(
    server: Server, gateway: Gateway, account: Account
) -> None:
    opening, auth = old_strophe(account.user, "not the password", server.domain)[:2]
    with TcpClient(server.c2s_port) as tcp:
        tcp.send(OPEN_LEFT_OPEN.format(domain=server.domain))
        tcp.receive_until(opening.until)
        tcp.send(auth.say)
        expected = tcp.receive_until("</failure>")
    with LegacyClient(gateway.ws_port) as browser:
        browser.send(opening.say)
        browser.receive_until(opening.until)
        browser.send(auth.say)
        assert browser.receive() == expected


def logged_in_the_oldest_way(gateway: Gateway, server: Server, **fields: str) -> tuple[str, bool]:
    """The server's answer to a login, and whether a stanza above the limit before the login passes."""
    with LegacyClient(gateway.ws_port) as browser:
        browser.send(OPEN_SELF_CLOSED.format(domain=server.domain))
        browser.receive_until("</stream:features>")
        browser.send(OLDEST_LOGIN.format(**fields))
        answer = browser.receive()
        browser.send(f"<iq type='get' id='2'><ping xmlns='urn:xmpp:ping'>{'x' * 20_000}</ping></iq>")
        browser.receive_until(END)  # Prosody refuses it too: its own limit waits for a new stream
        return answer, browser.receive_end().code != 1009


@pytest.mark.rule("xep-0078")
def test_a_non_sasl_login_lifts_the_limits_only_if_it_succeeds(
    prosody: Server,
    start_gateway: Callable[[Server], Gateway],
    new_account: Callable[[Server], Account],
) -> None:
    """XEP-0078: neither an error nor the list of fields, which is a result, lifts the limits."""
    gateway, account = start_gateway(prosody), new_account(prosody)
    known = {"user": account.user, "resource": RESOURCE}
    answer, let_pass = logged_in_the_oldest_way(gateway, prosody, password="wrong", **known)
    assert ("type='error'" in answer, let_pass) == (True, False)
    known["resource"] = ""
    answer, let_pass = logged_in_the_oldest_way(gateway, prosody, password=account.password, **known)
    assert ("type='result'" in answer, let_pass) == (True, False)
    assert account.jid not in gateway.log.read_text("utf-8", "replace")
    known["resource"] = RESOURCE
    answer, let_pass = logged_in_the_oldest_way(gateway, prosody, password=account.password, **known)
    assert ("type='result'" in answer, let_pass) == (True, True)
    wait_until(
        lambda: f"{account.jid}/oldest" in gateway.log.read_text("utf-8", "replace"),
        10,
        "the line in the log",
    )


@pytest.mark.rule("xep-0078")
def test_a_registration_answered_with_the_id_of_a_login_is_no_login(
    prosody: Server, start_gateway: Callable[[Server], Gateway]
) -> None:
    """Prosody does not escape the tab, which is read as a blank. It answers no login of unknown users."""
    login = OLDEST_LOGIN.format(user="nobody", password="x", resource=RESOURCE).replace("'result'", "'a b'")
    with LegacyClient(start_gateway(prosody).ws_port) as browser:
        browser.send(OPEN_SELF_CLOSED.format(domain=prosody.domain))
        browser.receive_until("</stream:features>")
        browser.send(login)
        browser.send(
            "<iq type='set' id='a&#9;b'><query xmlns='jabber:iq:register'>"
            f"<username>tab{secrets.token_hex(4)}</username><password>x</password></query></iq>"
        )
        assert "type='result'" in browser.receive()
        browser.send(f"<iq type='get' id='2'><ping xmlns='urn:xmpp:ping'>{'x' * 20_000}</ping></iq>")
        browser.receive_until(END)
        assert browser.receive_end().code == 1009
