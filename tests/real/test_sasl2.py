"""SASL2 (XEP-0388) and what it carries: resource binding, tokens, the resumption of a session.

Debian's Prosody offers SASL2 with Bind 2 (XEP-0386). The modules for tokens (FAST, XEP-0484) and stream
management within SASL2 (XEP-0198 section 9) do not run on it: a scripted server speaks them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.real.test_clients import CLIENTS, run_client
from tests.support.edges import StartEdge
from tests.support.fixtures import Account, missing
from tests.support.gateway import Gateway
from tests.support.servers import Prosody, register_in_band
from tests.support.wire import CLOSINGS, END, OPENINGS, SERVER_HEADER, Browser, Connection, XmppServer
from tests.telemetry.played import events

SASL2, BIND2, FAST, SM = "urn:xmpp:sasl:2", "urn:xmpp:bind:0", "urn:xmpp:fast:0", "urn:xmpp:sm:3"
JSON = ("--log-format", "json")
ALICE = Account("alice", "a secret of alice's")


def play(
    node: str, gateway: Gateway, account: Account, folder: Path, **parameters: Any
) -> list[dict[str, Any]]:
    """Run the JavaScript client; returns its steps."""
    who = {"user": account.user, "password": account.password}
    settings = {"url": gateway.ws, "domain": account.domain, "alice": who, **parameters}
    return run_client([node, str(CLIENTS / "sasl2.mjs")], folder, settings)


# -- Debian's Prosody ------------------------------------------------------------------------------


@pytest.fixture
def account(prosody: Prosody) -> Account:
    if not prosody.sasl2_module.exists():
        missing("prosody-modules is not installed")
    account = Account("alice", "a secret of alice's", prosody.sasl2_domain)
    if "sasl2" not in prosody.accounts:
        register_in_band(prosody.c2s_port, account.user, account.password, domain=account.domain)
        prosody.accounts["sasl2"] = account.password
    return account


@pytest.fixture
def edge(prosody: Prosody, start_edge: StartEdge) -> Gateway:
    return start_edge(port=prosody.c2s_port, domain=prosody.sasl2_domain, arguments=JSON)


@pytest.mark.rule("xep-0388", "xep-0386")
def test_a_client_logs_in_to_prosody_with_one_request(
    node: str, edge: Gateway, account: Account, tmp_path: Path
) -> None:
    """@xmpp/client; with Bind 2 the resource is bound when SASL2 succeeds."""
    before = len(events(edge, "closed", 0))
    login, *_ = play(node, edge, account, tmp_path)
    assert login["mechanism"] == "SCRAM-SHA-1"
    assert f"bind {BIND2}" in login["inline"]
    assert login["jid"].startswith(f"{account.jid}/sasl2~")
    closed = events(edge, "closed", before + 1)[-1]
    assert (closed["jid"], closed["cause"]) == (login["jid"], "closed by the client")
    assert "resumed" not in closed


@pytest.mark.rule("xep-0388", "xep-0386")
@pytest.mark.parametrize("framing", ["rfc7395", "legacy"])
def test_both_framings_carry_the_login(edge: Gateway, account: Account, framing: str) -> None:
    before = len(events(edge, "closed", 0))
    browser = Browser(edge.ws_port)
    browser.text(OPENINGS[framing].replace(b"'localhost'", b"'%s'" % account.domain.encode()))
    browser.message()
    assert b"<authentication xmlns='urn:xmpp:sasl:2'>" in browser.message()
    first = base64.b64encode(f"\0{account.user}\0{account.password}".encode()).decode()
    browser.text(
        f"<authenticate xmlns='{SASL2}' mechanism='PLAIN'><initial-response>{first}</initial-response>"
        f"<bind xmlns='{BIND2}'><tag>{framing}</tag></bind></authenticate>".encode()
    )
    success = browser.message()
    assert f"<bound xmlns='{BIND2}'".encode() in success
    assert b"features" in browser.message()
    browser.text(b"<iq xmlns='jabber:client' type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>")
    assert b"jabber:iq:roster" in browser.message()
    browser.text(CLOSINGS[framing])
    browser.until_close()
    found = re.search(b"<authorization-identifier>([^<]+)<", success)
    assert found is not None
    assert events(edge, "closed", before + 1)[-1]["jid"] == found[1].decode()


# -- a scripted server -----------------------------------------------------------------------------

JID, TOKEN, SESSION = "alice@localhost/sasl2~1", "secret-token-7c1d", "sm-41"
OFFER = (
    f"<stream:features><authentication xmlns='{SASL2}'><mechanism>PLAIN</mechanism><inline>"
    f"<bind xmlns='{BIND2}'><inline><feature var='{SM}'/></inline></bind><sm xmlns='{SM}'/>"
    f"<fast xmlns='{FAST}'><mechanism>HT-SHA-256-NONE</mechanism></fast>"
    "</inline></authentication></stream:features>"
)
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
REQUEST = f"<r xmlns='{SM}'/>"
BOUND = f"<bound xmlns='{BIND2}'><enabled xmlns='{SM}' id='{SESSION}' resume='true'/></bound>"
AUTHORIZED = f"<authorization-identifier>{JID}</authorization-identifier>"


def message(body: str) -> str:
    return f"<message to='{JID}' type='chat'><body>{body}</body></message>"


class TokenServer:
    """Plays three streams: a login by password, its resumption by a token, a login by the token alone."""

    def __init__(self, server: XmppServer) -> None:
        self._server = server
        #: The numbers of stanzas that the client says to have received, in order.
        self.counts: list[int] = []

    def play(self) -> None:
        first = self._accept()
        self._log_in(first)
        self._echo(first)
        first.read_to_end()
        second = self._accept()
        self._resume(second)
        self._echo(second)
        second.read_to_end()
        third = self._accept()
        self._begin_anew(third)
        self._echo(third)
        third.read_until(END)
        third.send(END)

    def _accept(self) -> Connection:
        connection = self._server.accept()
        connection.read_until(b"?>")
        assert b" from='alice@localhost'" in connection.read_until(b">").replace(b'"', b"'")
        connection.send(SERVER_HEADER + OFFER.encode())
        return connection

    def _log_in(self, stream: Connection) -> None:
        request = stream.read_until(b"</authenticate>").decode()
        assert self._initial_response(request) == f"\0{ALICE.user}\0{ALICE.password}".encode()
        assert f'<request-token xmlns="{FAST}" mechanism="HT-SHA-256-NONE"/>' in request
        assert f'<enable xmlns="{SM}" resume="true"/>' in request
        token = f"<token xmlns='{FAST}' token='{TOKEN}' expiry='2099-01-01T00:00:00Z'/>"
        self._succeed(stream, token + BOUND, message("sent together with the success") + REQUEST)
        self._read_count(stream)

    def _resume(self, stream: Connection) -> None:
        data = self._accept_token(stream)
        resumed = f"<resumed xmlns='{SM}' h='1' previd='{SESSION}'/>"
        self._succeed(stream, data + resumed, message("sent meanwhile"))

    def _begin_anew(self, stream: Connection) -> None:
        data = self._accept_token(stream)
        failed = f"<failed xmlns='{SM}'><item-not-found xmlns='{ERRORS}'/></failed>"
        self._succeed(stream, data + failed + BOUND, message("sent together with the success") + REQUEST)
        self._read_count(stream)

    def _accept_token(self, stream: Connection) -> str:
        """Check a request for authentication by token, and resumption; returns the proof for the client."""
        request = stream.read_until(b"</authenticate>").decode()
        name, _, proof = self._initial_response(request).partition(b"\0")
        assert (name.decode(), proof) == (ALICE.user, self._proof(b"Initiator"))
        assert f'<fast xmlns="{FAST}"/>' in request
        resume = re.search(rf'<resume xmlns="{SM}" h="(\d+)" previd="{SESSION}"/>', request)
        assert resume is not None, request
        self.counts.append(int(resume[1]))
        return f"<additional-data>{base64.b64encode(self._proof(b'Responder')).decode()}</additional-data>"

    @staticmethod
    def _succeed(stream: Connection, content: str, after: str) -> None:
        """Send the success and what follows it in one segment."""
        success = f"<success xmlns='{SASL2}'>{AUTHORIZED}{content}</success>"
        stream.send(f"{success}<stream:features/>{after}".encode())

    def _echo(self, stream: Connection) -> None:
        """Return the client's next message to it."""
        body = re.search(b"<body>([^<]+)</body>", stream.read_until(b"</message>"))
        assert body is not None
        stream.send(f"{message(body[1].decode())}{REQUEST}".encode())
        self._read_count(stream)

    def _read_count(self, stream: Connection) -> None:
        answer = re.search(rb'<a xmlns="urn:xmpp:sm:3" h="(\d+)"/>', stream.read_until(b"/>"))
        assert answer is not None
        self.counts.append(int(answer[1]))

    @staticmethod
    def _initial_response(request: str) -> bytes:
        found = re.search("<initial-response>([^<]+)<", request)
        assert found is not None, request
        return base64.b64decode(found[1])

    @staticmethod
    def _proof(who: bytes) -> bytes:
        return hmac.new(TOKEN.encode(), who, hashlib.sha256).digest()


@pytest.mark.rule("xep-0388", "xep-0484", "xep-0198-inline")
def test_a_client_resumes_its_session_with_a_token(
    node: str, start_edge: StartEdge, xmpp_server: XmppServer, tmp_path: Path
) -> None:
    """@xmpp/client: with one request each; the server counts the same stanzas as the client."""
    edge, server = start_edge(arguments=JSON), TokenServer(xmpp_server)
    with ThreadPoolExecutor(1) as pool:
        played = pool.submit(server.play)
        login, resumed, new, _ = play(node, edge, ALICE, tmp_path, resumes=True)
        played.result()
    steps = (login, resumed, new)
    assert [step["mechanism"] for step in steps] == ["PLAIN", "HT-SHA-256-NONE", "HT-SHA-256-NONE"]
    assert [step["jid"] for step in steps] == [JID] * 3
    assert [f"resume {SM}" in step["inline"] for step in steps] == [False, True, True]
    assert server.counts == [1, 2, 2, 4, 4, 1, 2]
    closed = events(edge, "closed", 3)
    assert [session["jid"] for session in closed] == [JID] * 3
    assert [session.get("resumed") for session in closed] == [None, True, None]
