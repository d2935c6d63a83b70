"""A login as a client has it, with ``--account``: no password is in the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast
from xml.etree.ElementTree import Element

import pytest

from tests.doctor.diagnosis import Diagnosis, diagnose
from tests.support.certificates import Certificate
from tests.support.fixtures import Account as Registered
from tests.support.gateway import Gateway
from tests.support.processes import ReservedPort
from tests.support.servers import Server
from wsgw.config.source import Source
from wsgw.doctor import host_meta
from wsgw.doctor.account import ACCOUNT, _Trial, _Way
from wsgw.doctor.finding import Verdict
from wsgw.doctor.host_meta import Fetched
from wsgw.doctor.https import Page
from wsgw.doctor.inquiry import Account, Inquiry
from wsgw.doctor.websocket import public_url
from wsgw.opening.host_meta import links_of, xrd
from wsgw.probe.session import Session, StreamFailed

pytestmark = pytest.mark.slow

#: The steps of a client, in order.
STEPS = ["login", "message", "large", "login", "message", "resumption"]


def tried(config: Path, account: Registered, *arguments: str | Path, password: str = "") -> Diagnosis:
    env = {"WSGW_PASSWORD": password or account.password}
    return diagnose(config, "--account", account.jid, *arguments, env=env)


def steps(found: Diagnosis) -> list[dict[str, str]]:
    return [one for one in found.findings if one["check"].startswith("account.")]


def test_a_client_logs_in_sends_and_resumes(
    server: Server, gateway: Gateway, new_account: Callable[[Server], Registered]
) -> None:
    found = tried(gateway.config, new_account(server))
    assert [one["check"] for one in steps(found)] == [f"account.{step}" for step in STEPS], found
    assert {one["verdict"] for one in steps(found)} == {"ok"}, found
    first, _, large, second, *_ = steps(found)
    assert "logs in by SCRAM-SHA-" in first["what"]
    assert "in RFC 7395 framing at ws://127.0.0.1:" in first["what"]
    assert "in legacy framing" in second["what"]
    assert "the limit is 65536 bytes (max_stanza_size)" in large["what"]


def test_by_the_public_address_the_certificate_must_be_valid(
    prosody: Server,
    start_gateway: Callable[[Server], Gateway],
    new_account: Callable[[Server], Registered],
    certificate: Certificate,
) -> None:
    gateway, account = start_gateway(prosody), new_account(prosody)
    url = f"wss://localhost:{gateway.wss_port}/ws-xmpp"
    (refused,) = steps(tried(gateway.config, account, "--quick", "--url", url))
    assert refused["verdict"] == "failed"
    assert "the certificate is refused (" in refused["what"]
    assert refused["fix"].endswith("the password was not sent")
    found = steps(tried(gateway.config, account, "--quick", "--url", url, "--cafile", certificate.ca))
    assert [one["check"] for one in found] == [f"account.{step}" for step in STEPS if step != "large"]
    assert {one["verdict"] for one in found} == {"ok"}


def test_a_wrong_password_is_tried_once(
    prosody: Server,
    start_gateway: Callable[[Server], Gateway],
    new_account: Callable[[Server], Registered],
) -> None:
    found = tried(start_gateway(prosody).config, new_account(prosody), password="not-this-one")
    (refused,) = steps(found)
    assert (found.status, refused["check"], refused["verdict"]) == (1, "account.login", "failed")
    assert "the server refuses the login: not-authorized" in refused["what"]
    assert refused["fix"] == "correct the JID or the password, or check the account in the XMPP server"


def test_a_password_crosses_no_network_without_tls() -> None:
    account = Account("alice", "example.org", "open sesame")
    inquiry = Inquiry(("example.org",), Source(), url="ws://192.0.2.1/ws-xmpp", account=account)
    (finding,) = ACCOUNT.run(inquiry)
    assert (finding.check, finding.verdict) == ("account.login", Verdict.SKIPPED)
    assert finding.what == "no login: ws://192.0.2.1/ws-xmpp would carry it over the network without TLS"


def test_without_a_websocket_there_is_no_login() -> None:
    """That is the consequence of a fault that another check finds."""
    port = ReservedPort()
    url = f"ws://127.0.0.1:{port.number}/ws-xmpp"
    account = Account("alice", "example.org", "open sesame")
    (finding,) = ACCOUNT.run(Inquiry(("example.org",), Source(), url=url, account=account))
    port.release()
    assert finding.verdict is Verdict.SKIPPED
    assert finding.what == f"not tried, because no WebSocket opens at {url}"


def test_a_forged_host_meta_gets_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its certificate is refused, but the WebSocket that it names may have a valid one."""
    page = Page("", 200, (), xrd(links_of("wss://thief.example/ws")).encode())
    fetched = Fetched("", (page,), is_genuine=False)
    monkeypatch.setattr(host_meta, "fetch", lambda *_question: fetched)
    account = Account("alice", "example.org", "open sesame")
    inquiry = Inquiry(("example.org",), Source(), account=account)
    (finding,) = ACCOUNT.run(inquiry)
    assert (finding.check, finding.verdict) == ("account.login", Verdict.SKIPPED)
    assert finding.what == (
        "no login: the certificate of host-meta, which names wss://thief.example/ws, is refused"
    )
    assert public_url("example.org", inquiry) == "wss://thief.example/ws", "the other checks need it"


def test_without_an_address_there_is_no_login() -> None:
    account = Account("alice", "localhost", "open sesame")
    (finding,) = ACCOUNT.run(Inquiry(("localhost",), Source(), account=account))
    assert (finding.check, finding.verdict) == ("account.login", Verdict.SKIPPED)
    assert finding.fix == "name it with --url"
    assert list(ACCOUNT.run(Inquiry(("localhost",), Source()))) == []


@pytest.fixture
def generous(ejabberd: Server, certificate: Certificate, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that takes larger stanzas than the others of the test run."""
    options = "{max_stanza_size, 300000}, "
    gateway = Gateway(tmp_path / "generous", certificate, ejabberd.c2s_port, ws_options=options)
    yield gateway.start()
    gateway.close()


def test_a_large_stanza_is_carried_whole(
    ejabberd: Server, generous: Gateway, new_account: Callable[[Server], Registered]
) -> None:
    (large,) = tried(generous.config, new_account(ejabberd)).of("account.large")
    assert (large["verdict"], large["what"]) == ("ok", "sends and receives a stanza of 250 kB")


@pytest.mark.parametrize(
    ("fault", "verdict", "what", "fix"),
    [
        (
            StreamFailed("policy-violation"),
            Verdict.FAILED,
            "a stanza of 250 kB ends the session: the stream ends with policy-violation",
            "raise the limit of the XMPP server (ejabberd: max_stanza_size; Prosody: c2s_stanza_size_limit)",
        ),
        (TimeoutError(), Verdict.NOTE, "a stanza of 250 kB does not arrive within 100 s", "ejabberd: shaper"),
    ],
)
def test_a_large_stanza_that_does_not_arrive(fault: Exception, verdict: Verdict, what: str, fix: str) -> None:
    class Refusing(Session):
        def __init__(self) -> None:
            pass

        def carry(self, body: str) -> None:
            raise fault

    trial = _Trial(Account("alice", "example.org", ""), cast("_Way", None), quick=False)
    (finding,) = trial._large(Refusing(), Element("features"))
    assert finding.verdict is verdict
    assert finding.what.startswith(what)
    assert finding.fix.startswith(fix)
