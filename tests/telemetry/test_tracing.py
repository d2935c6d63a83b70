"""Traces: of which addresses and users, from when to when, with which fields, without cost afterwards."""

from __future__ import annotations

import signal
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

from tests.support.edges import StartEdge
from tests.support.gateway import Gateway
from tests.support.wire import PING, SUCCESS, XmppServer, frame
from tests.telemetry.played import Played, bound, events
from wsgw.config.model import Traced
from wsgw.errors import causes
from wsgw.telemetry.peer import Peer
from wsgw.telemetry.tracing import Tracing
from wsgw.websocket_session import Timers, WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp, XmppLimits

JSON = ("--log-format", "json", "--log-level", "error")
ALICE = "alice@localhost"
BODY = "what they said"


def traced_to(gateway: Gateway, targets: str) -> None:
    """Change ``trace``, an Erlang list, in the file, and wait until every worker has it."""
    former = gateway.config.read_text("utf-8")
    gateway.config.write_text(former.partition("{trace,")[0] + f"{{trace, {targets}}}.\n", encoding="utf-8")
    gateway.child.signal(signal.SIGHUP)


def chat(played: Played, number: int) -> None:
    """One message in each direction."""
    text = f"<message xmlns='jabber:client' id='m{number}' type='chat'><body>{BODY}</body></message>"
    played.ask(text, f"<message id='r{number}' type='chat'><body>{BODY}</body></message>")


def log_in(played: Played, jid: str = f"{ALICE}/web") -> None:
    played.ask("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'/>", SUCCESS.decode())
    played.restart()
    played.ask(*bound(jid))


def log_in_by_sasl2(played: Played, jid: str) -> None:
    """The resource is bound within the success (XEP-0386)."""
    played.ask(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='X'><bind xmlns='urn:xmpp:bind:0'/></authenticate>",
        f"<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>{jid}</authorization-identifier>"
        "<bound xmlns='urn:xmpp:bind:0'/></success>",
        "<stream:features/>",
    )


def told(gateway: Gateway, count: int) -> list[tuple[Any, ...]]:
    """(direction, element or frame, namespace, type, id) of each traced line."""
    names = ("direction", "what", "namespace", "type", "id")
    found = events(gateway, "trace", count)
    lines = [{**line, "what": line.get("element") or line.get("frame")} for line in found]
    return [tuple(line.get(name) for name in names) for line in lines]


@pytest.mark.parametrize("framing", ["rfc7395", "legacy"])
def test_an_address_is_traced_from_the_first_frame(
    start_edge: StartEdge, xmpp_server: XmppServer, framing: str
) -> None:
    gateway = start_edge(arguments=JSON, top_level='{trace, ["203.0.113.0/24"]}.', fresh=True)
    other = Played(gateway, xmpp_server, framing)
    chat(other, 1)
    other.close()
    played = Played(gateway, xmpp_server, framing, headers=("X-Forwarded-For: 203.0.113.9",))
    chat(played, 2)
    played.browser.send(frame(b"probe", PING))
    assert played.browser.frame() == (10, b"probe")
    played.close()
    streams, framing_ns = "http://etherx.jabber.org/streams", "urn:ietf:params:xml:ns:xmpp-framing"
    legacy = framing == "legacy"
    opening = ("stream", streams) if legacy else ("open", framing_ns)
    closing = ("end of the stream", None) if legacy else ("close", framing_ns)
    none = (None, None)
    message = ("message", "jabber:client", "chat")
    assert told(gateway, 18) == [
        ("browser>gateway", *opening, *none),
        ("gateway>server", "stream", streams, *none),
        ("server>gateway", "stream", streams, *none),
        ("server>gateway", "features", streams, *none),
        ("gateway>browser", *opening, *none),
        ("gateway>browser", "features", streams, *none),
        ("browser>gateway", *message, "m2"),
        ("gateway>server", *message, "m2"),
        ("server>gateway", *message, "r2"),
        ("gateway>browser", *message, "r2"),
        ("browser>gateway", "ping", None, *none),
        ("gateway>browser", "pong", None, *none),
        ("browser>gateway", *closing, *none),
        ("gateway>server", "end of the stream", None, *none),
        ("server>gateway", "end of the stream", None, *none),
        ("gateway>browser", *closing, *none),
        ("gateway>browser", "close", None, *none),
        ("browser>gateway", "close", None, *none),
    ]
    lines = events(gateway, "trace")
    assert {line["client"] for line in lines} == {"203.0.113.9"}
    assert len({line["connection"] for line in lines}) == 1
    assert {line["framing"] for line in lines[1:] if "element" in line} == {framing}
    sent = len(f"<message id='r2' type='chat'><body>{BODY}</body></message>")
    assert next(line["size"] for line in lines if line.get("id") == "r2") == sent
    assert BODY not in gateway.log.read_text("utf-8")
    assert "probe" not in gateway.log.read_text("utf-8")


@pytest.mark.parametrize(
    ("target", "log_in", "of_login"),
    [(ALICE, log_in, []), ("ALICE@localhost/web", log_in_by_sasl2, ["success", "features"])],
    ids=["bare-sasl", "full-sasl2"],
)
def test_a_user_is_traced_from_the_login(
    start_edge: StartEdge,
    xmpp_server: XmppServer,
    target: str,
    log_in: Callable[[Played, str], None],
    of_login: list[str],
) -> None:
    """The element that ends the login is traced only if it is no stanza."""
    gateway = start_edge(arguments=JSON, top_level=f'{{trace, ["{target}"]}}.', fresh=True)
    for jid in (f"{ALICE}/web", "alice@localhost.example/web", "malice@localhost/web"):
        played = Played(gateway, xmpp_server, "rfc7395")
        log_in(played, jid)
        chat(played, 3)
        played.close()
    lines = told(gateway, len(of_login) + 10)
    assert [line[:2] for line in lines[:-10]] == [("gateway>browser", name) for name in of_login]
    assert lines[-10] == ("browser>gateway", "message", "jabber:client", "chat", "m3")
    assert len({line["connection"] for line in events(gateway, "trace")}) == 1


@pytest.mark.slow
def test_a_running_session_is_traced_up_to_the_limit(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    gateway = start_edge(arguments=JSON, fresh=True)
    played = Played(gateway, xmpp_server, "rfc7395")
    log_in(played)
    chat(played, 1)
    traced_to(gateway, f'["{ALICE}"]')
    events(gateway, "traced", 1)
    chat(played, 2)
    assert [line[4] for line in told(gateway, 4)] == ["m2", "m2", "r2", "r2"]
    traced_to(gateway, "[]")
    events(gateway, "traced", 2)
    chat(played, 3)
    played.close()
    gateway.child.signal(signal.SIGTERM)
    assert gateway.child.wait(40) == 0
    assert len(told(gateway, 4)) == 4


def test_the_id_that_resumes_a_session_is_not_traced(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    gateway = start_edge(arguments=JSON, top_level='{trace, ["127.0.0.1"]}.', fresh=True)
    played = Played(gateway, xmpp_server, "rfc7395")
    log_in(played)
    token = "resume-me"
    played.ask(
        "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
        f"<enabled xmlns='urn:xmpp:sm:3' id='{token}' resume='true'/>",
    )
    played.close()
    events(gateway, "trace", 20)
    assert token not in gateway.log.read_text("utf-8")


# -- switched on and off -------------------------------------------------------------------------


class Traceable:
    """A session without sockets."""

    def __init__(self, client: str = "203.0.113.9") -> None:
        self.peer = Peer(1, (client, 0), client)
        self.on_enter: Callable[[str], None] | None = None
        self.session = WebSocketSession(Timers(30, 20, 300, 5), 1000)
        limits = XmppLimits(50_000, 5, 5, 10.0, 60.0, 300.0)
        self.xmpp = WebSocketXmpp(self.session, limits, lambda to: to, 0.0)

    def parts(self) -> list[type]:
        """The attributes of the machines that a trace replaces."""
        machines = (self.session, self.xmpp)
        names = {name for machine in machines for name in type(machine).__slots__}
        found = (getattr(machine, name, None) for name in sorted(names) for machine in machines)
        return [type(each) for each in found]


def targets(*jids: str, networks: tuple[Any, ...] = ()) -> Traced:
    return Traced(frozenset(jids), networks)


@pytest.mark.parametrize(
    "end",
    [lambda tracing, session: tracing.change(Traced(), [session]), Tracing.ended],
    ids=["no-longer-wanted", "session-over"],
)
def test_an_ended_trace_leaves_nothing_in_the_machines(end: Callable[[Tracing, Any], None]) -> None:
    session, tracing = Traceable(), Tracing()
    before = session.parts()
    session.xmpp.login.jid = f"{ALICE}/web"
    tracing.began(session)
    assert session.parts() == before, "no session is traced"
    tracing.change(targets(ALICE), [session])
    assert session.parts() != before
    end(tracing, session)
    assert session.parts() == before
    assert session.xmpp.login.when_over is None


def test_a_trace_passes_on_the_facts_of_repaired_stanzas(caplog: pytest.LogCaptureFixture) -> None:
    """The removed elements, and that received bytes are still to be processed."""
    session, tracing = Traceable(), Tracing()
    tracing.change(targets(networks=(ip_network("203.0.113.0/24"),)), [session])
    xmpp = session.xmpp
    xmpp.process_request(b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='a' version='1.0'/>")
    xmpp.upstream_connected()
    header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
    attributes = b" ".join(b"p:a%d=''" % number for number in range(999))
    long_tag = b"<message xmlns:p='%s' %s/>" % (b"u" * 9000, attributes)
    with caplog.at_level("INFO", "wsgw.tracing"):
        xmpp.upstream_data(header + b"<message from='m'><p:a/></message>" * 300 + long_tag)
        while xmpp.process_upstream(256):
            pass
    assert len(xmpp.repaired) == 300
    assert xmpp.ending is causes.NOT_ENDED
    lines = [record.getMessage() for record in caplog.records]
    assert sum(line.endswith("< server message") for line in lines) == 301
    assert sum(line.endswith("> browser message") for line in lines) == 300
    assert lines[-1].endswith("> browser long tag")


@pytest.mark.parametrize(
    ("client", "traced"),
    [
        ("203.0.113.9", True),
        ("::ffff:203.0.113.9", True),
        ("203.0.114.1", False),
        ("", False),
        ("::1", False),
    ],
    ids=["inside", "mapped", "outside", "unix", "other-family"],
)
def test_an_address_inside_a_network_of_the_trace_is_traced(client: str, traced: bool) -> None:
    session, tracing = Traceable(client), Tracing()
    before = session.parts()
    tracing.change(targets(networks=(ip_network("203.0.113.0/24"),)), [session])
    assert (session.parts() != before) == traced
