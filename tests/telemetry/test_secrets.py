"""No secret in the log: at level debug with a trace and without one, as text and as JSON."""

from __future__ import annotations

import base64
import hashlib
import signal

import pytest

from tests.support.edges import StartEdge
from tests.support.gateway import Gateway, spellings
from tests.support.wire import OPENINGS, SUCCESS, Browser, XmppServer
from tests.telemetry.played import Played, bound, iq

pytestmark = pytest.mark.slow

TRACED = '{trace, ["127.0.0.1", "alice@localhost"]}.'
PASSWORD, NEW_PASSWORD = "Tr0ub4dor&3", "c0rrect<horse"
SASL, SASL2 = "urn:ietf:params:xml:ns:xmpp-sasl", "urn:xmpp:sasl:2"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


PLAIN = encoded(f"\0alice\0{PASSWORD}")
CLIENT_FIRST = encoded("n,,n=alice,r=clientnonce")
SERVER_FIRST = encoded("r=clientnonceservernonce,s=c2FsdHNhbHQ=,i=4096")
PROOF = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), b"saltsalt", 4096)
CLIENT_FINAL = encoded(f"c=biws,r=clientnonceservernonce,p={base64.b64encode(PROOF).decode()}")
SERVER_FINAL = encoded("v=c2VydmVyc2lnbmF0dXJl")
DIGEST = hashlib.sha1(b"s1" + PASSWORD.encode()).hexdigest()
TOKEN, RESUMPTION = "fast-token-b3f1", "sm-9a77c2"
TEXT = "meet me at the bridge"
SECRETS = (
    *(spelling for word in (PASSWORD, NEW_PASSWORD) for spelling in spellings("alice", word)),
    *(escaped(PASSWORD), escaped(NEW_PASSWORD)),
    *(PLAIN, CLIENT_FIRST, SERVER_FIRST, CLIENT_FINAL, SERVER_FINAL),
    *("clientnonce", "servernonce", base64.b64encode(PROOF).decode(), DIGEST),
    *(TOKEN, RESUMPTION, TEXT),
)


def restart_and_bind(played: Played) -> None:
    played.restart()
    played.ask(*bound("alice@localhost/x"))


def plain(played: Played) -> None:
    played.ask(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{PLAIN}</auth>", SUCCESS.decode())
    restart_and_bind(played)


def plain_refused(played: Played) -> None:
    auth = f"<auth xmlns='{SASL}' mechanism='PLAIN'>{PLAIN}</auth>"
    played.ask(auth, f"<failure xmlns='{SASL}'><not-authorized/><text>{PLAIN}</text></failure>")


def scram(played: Played) -> None:
    challenge = f"<challenge xmlns='{SASL}'>{SERVER_FIRST}</challenge>"
    played.ask(f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>{CLIENT_FIRST}</auth>", challenge)
    success = f"<success xmlns='{SASL}'>{SERVER_FINAL}</success>"
    played.ask(f"<response xmlns='{SASL}'>{CLIENT_FINAL}</response>", success)
    restart_and_bind(played)


def sasl2(played: Played) -> None:
    """With a token for the next login, and stream management, in one request."""
    challenge = f"<challenge xmlns='{SASL2}'>{SERVER_FIRST}</challenge>"
    first = f"<initial-response>{CLIENT_FIRST}</initial-response>"
    played.ask(f"<authenticate xmlns='{SASL2}' mechanism='SCRAM-SHA-256'>{first}</authenticate>", challenge)
    done = (
        f"<success xmlns='{SASL2}'><additional-data>{SERVER_FINAL}</additional-data>"
        "<authorization-identifier>alice@localhost/x</authorization-identifier>"
        f"<token xmlns='urn:xmpp:fast:0' token='{TOKEN}' expiry='2030-01-01T00:00:00Z'/>"
        "<bound xmlns='urn:xmpp:bind:0'>"
        f"<enabled xmlns='urn:xmpp:sm:3' id='{RESUMPTION}' resume='true'/></bound>"
        "</success>"
    )
    played.ask(f"<response xmlns='{SASL2}'>{CLIENT_FINAL}</response>", done)


def fast(played: Played) -> None:
    """A login with the token in place of a password."""
    mac = encoded(f"alice\0{TOKEN}")
    auth = f"<authenticate xmlns='{SASL2}' mechanism='HT-SHA-256-NONE'>"
    played.ask(
        f"{auth}<initial-response>{mac}{TOKEN}</initial-response>"
        "<fast xmlns='urn:xmpp:fast:0' count='1'/></authenticate>",
        f"<success xmlns='{SASL2}'><authorization-identifier>alice@localhost</authorization-identifier>"
        f"<resumed xmlns='urn:xmpp:sm:3' h='1' previd='{RESUMPTION}'/></success>",
    )


def the_oldest_way(played: Played) -> None:
    fields = f"<username>alice</username><password>{escaped(PASSWORD)}</password><resource>x</resource>"
    played.ask(
        iq("a", "set", f"<query xmlns='jabber:iq:auth'>{fields}</query>"), "<iq type='result' id='a'/>"
    )


def the_oldest_way_with_a_digest(played: Played) -> None:
    fields = f"<username>alice</username><digest>{DIGEST}</digest><resource>x</resource>"
    played.ask(
        iq("a", "set", f"<query xmlns='jabber:iq:auth'>{fields}</query>"), "<iq type='result' id='a'/>"
    )


def registration(played: Played) -> None:
    fields = f"<username>alice</username><password>{escaped(PASSWORD)}</password>"
    request = iq("r", "set", f"<query xmlns='jabber:iq:register'>{fields}</query>")
    played.ask(request, f"<iq type='error' id='r'><query xmlns='jabber:iq:register'>{fields}</query></iq>")


LOGINS = [
    plain,
    plain_refused,
    scram,
    sasl2,
    fast,
    the_oldest_way,
    the_oldest_way_with_a_digest,
    registration,
]


def converse(played: Played) -> None:
    """The stanzas after a login: a new password, a message with it, a session that can be resumed."""
    fields = f"<username>alice</username><password>{escaped(NEW_PASSWORD)}</password>"
    played.ask(
        iq("c", "set", f"<query xmlns='jabber:iq:register'>{fields}</query>"), "<iq type='result' id='c'/>"
    )
    body = f"<body>{TEXT}: {escaped(PASSWORD)} {escaped(NEW_PASSWORD)}</body>"
    played.ask(
        f"<message xmlns='jabber:client' to='bob@localhost' id='m'>{body}</message>",
        f"<message id='m2'>{body}</message>",
    )
    played.ask(
        "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
        f"<enabled xmlns='urn:xmpp:sm:3' id='{RESUMPTION}' resume='true'/>",
    )
    played.browser.text(f"<message xmlns='jabber:client'><body>{PLAIN}{escaped(PASSWORD)}{TOKEN}<".encode())
    played.browser.until_close()
    played.server.close()
    played.browser.close()


def assert_no_secret(gateway: Gateway) -> None:
    text = gateway.log.read_text("utf-8")
    assert "not-well-formed" in text, "the cause of the end is logged"
    assert "> server " in text, "it is traced"
    for secret in SECRETS:
        assert secret not in text, secret
        assert secret.lower() not in text.lower(), secret


@pytest.mark.parametrize(
    ("log_format", "top_level"),
    [("plain", TRACED), ("json", TRACED), ("plain", "")],
    ids=["plain", "json", "debug only"],
)
@pytest.mark.parametrize("login", LOGINS, ids=lambda login: login.__name__)
def test_the_log_has_no_secret_of_a_login(
    start_edge: StartEdge, xmpp_server: XmppServer, login: object, log_format: str, top_level: str
) -> None:
    assert callable(login)
    arguments = ("--log-level", "debug", "--log-format", log_format)
    gateway = start_edge(arguments=arguments, top_level=top_level, fresh=True)
    for framing in ("rfc7395", "legacy"):
        played = Played(gateway, xmpp_server, framing)
        login(played)
        converse(played)
    gateway.child.signal(signal.SIGTERM)
    assert gateway.child.wait(40) == 0
    assert_no_secret(gateway)


@pytest.mark.parametrize("log_format", ["plain", "json"])
def test_the_log_has_no_secret_of_a_request(
    start_edge: StartEdge, xmpp_server: XmppServer, log_format: str
) -> None:
    """Tokens in the path, in headers, in a Close."""
    arguments = ("--log-level", "debug", "--log-format", log_format)
    gateway = start_edge(arguments=arguments, top_level=TRACED, fresh=True)
    headers = (f"Authorization: Bearer {TOKEN}", f"Cookie: s={TOKEN}")
    for path in (f"/ws-xmpp?token={TOKEN}", f"/{TOKEN}"):
        browser = Browser(gateway.ws_port, path=path, headers=headers)
        if path.startswith("/ws-xmpp"):
            browser.text(OPENINGS["rfc7395"])
            server = xmpp_server.accept_stream(b"<stream:features/>")
            browser.close_frame(3000, TOKEN.encode())
            browser.until_close()
            server.close()
        browser.close()
    gateway.child.signal(signal.SIGTERM)
    assert gateway.child.wait(40) == 0
    text = gateway.log.read_text("utf-8")
    assert "404" in text
    assert "Close 3000" in text
    assert TOKEN not in text
