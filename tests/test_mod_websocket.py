"""The supervisor of a process's sessions: counts, sweep, drain, served domains."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import gevent
import pytest

from tests.support.here import config_for, in_thread, port_of, running, wait_here
from tests.support.wire import CLOSE_7395, END, OPENINGS, Browser, Connection, XmppServer
from wsgw.config import from_arguments
from wsgw.gateway import Gateway
from wsgw.mod_websocket import SWEEP_INTERVAL, SeeOther, SessionSettings, Supervisor


@pytest.fixture
def gateway(fresh_server: XmppServer) -> Iterator[Gateway]:
    with running(config_for(fresh_server.port, "localhost", "other.example")) as gateway:
        yield gateway


class Session(NamedTuple):
    """Both ends of a session whose login has succeeded."""

    browser: Browser
    server: Connection

    def end(self) -> None:
        """The client ends its stream, and the server answers."""
        self.browser.text(CLOSE_7395)
        self.server.read_until(END)
        self.server.send(END)
        self.browser.until_close()
        self.browser.close()
        self.server.close()


def opening(domain: str) -> bytes:
    return OPENINGS["rfc7395"].replace(b"'localhost'", f"'{domain}'".encode())


def log_in(gateway: Gateway, server: XmppServer, domain: str = "localhost") -> Session:
    def both() -> Session:
        browser = Browser(port_of(gateway))
        browser.text(opening(domain))
        connection = server.accept_stream()
        assert browser.message().startswith(b"<open ")
        assert b"success" in browser.message()
        return Session(browser, connection)

    return in_thread(both)


def counts(supervisor: Supervisor) -> dict[str, int]:
    """Sessions of each host; those without a stream have the host ``""``."""
    found: Counter[str] = Counter()
    for (domain, _framing, _state), sessions in supervisor.survey().groups.items():
        found[domain] += sessions
    return found


# -- counting --------------------------------------------------------------------------------------------


def test_a_session_counts_from_its_101_and_at_its_host_from_its_header(
    gateway: Gateway, fresh_server: XmppServer
) -> None:
    supervisor = gateway.supervisor
    browser = in_thread(Browser, port_of(gateway))
    wait_here(lambda: supervisor.sessions, "session")
    assert counts(supervisor) == {"": 1}
    assert supervisor.admission.connections == 1
    browser.text(opening("OTHER.example"))
    connection = in_thread(fresh_server.accept_stream)
    wait_here(lambda: counts(supervisor)["other.example"], "session of the host")
    in_thread(Session(browser, connection).end)
    wait_here(lambda: not supervisor.sessions, "end")
    assert counts(supervisor) == {}
    assert supervisor.tally.opened == 1
    wait_here(lambda: not supervisor.admission.connections, "free place")


def test_a_survey_counts_the_bytes_of_running_and_ended_sessions(
    gateway: Gateway, fresh_server: XmppServer
) -> None:
    supervisor = gateway.supervisor
    sessions = [log_in(gateway, fresh_server) for _ in range(2)]
    for session in sessions:
        session.browser.text(b"<presence xmlns='jabber:client'/>")
        in_thread(session.server.read_until, b"/>")
    sessions[0].server.send(b"<resumed xmlns='urn:xmpp:sm:3' previd='p'/>")
    in_thread(sessions[0].browser.message)
    in_thread(sessions[0].end)
    wait_here(lambda: len(supervisor.sessions) == 1, "end of one session")
    survey = supervisor.survey()
    assert survey.passed.resumed == 1
    assert survey.passed.stanzas_from_client == 2
    assert survey.passed.logins == 2
    assert survey.logged_in == 1
    assert survey.groups == {("localhost", "rfc7395", "loop"): 1}
    in_thread(sessions[1].end)
    wait_here(lambda: not supervisor.sessions, "end of the other session")
    assert supervisor.survey().passed.stanzas_from_client == 2, "the totals stay"
    assert supervisor.survey().groups == {}


# -- domains served --------------------------------------------------------------------------------------


def test_a_domain_that_is_no_longer_served_keeps_its_sessions(
    gateway: Gateway, fresh_server: XmppServer
) -> None:
    supervisor = gateway.supervisor
    session = log_in(gateway, fresh_server, "other.example")
    supervisor.serve_hosts(["localhost", "new.example"])
    assert counts(supervisor) == {"other.example": 1}
    session.browser.text(b"<presence xmlns='jabber:client'/>")
    in_thread(session.server.read_until, b"/>")
    refused = in_thread(Browser, port_of(gateway))
    refused.text(opening("other.example"))
    assert in_thread(refused.until_close)[2] == "host-unknown"
    refused.close()
    in_thread(session.end)
    wait_here(lambda: not counts(supervisor)["other.example"], "end of the session")
    in_thread(log_in(gateway, fresh_server, "new.example").end)


def test_a_domain_that_is_served_again_still_has_its_sessions(
    gateway: Gateway, fresh_server: XmppServer
) -> None:
    supervisor = gateway.supervisor
    session = log_in(gateway, fresh_server, "other.example")
    for hosts in (["localhost"], ["localhost", "other.example"]):
        supervisor.serve_hosts(hosts)
        assert counts(supervisor) == {"other.example": 1}
    in_thread(session.end)
    wait_here(lambda: not supervisor.sessions, "end")
    assert counts(supervisor) == {}


# -- sweep -----------------------------------------------------------------------------------------------


def test_a_sweep_ends_a_session_after_its_deadline(fresh_server: XmppServer) -> None:
    config = config_for(fresh_server.port)
    config = replace(config, listeners=(replace(config.listeners[0], open_timeout=SWEEP_INTERVAL / 2),))
    with running(config) as gateway:
        browser = in_thread(Browser, port_of(gateway))
        assert in_thread(browser.until_close)[2] == "connection-timeout"
        browser.close()


def test_refused_connections_are_logged_in_one_line_for_each_reason(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = gateway.supervisor
    for _ in range(2):  # the second time within ten seconds of the first
        supervisor.admission.refused.update({"too many sessions": 3, "too many addresses": 1})
        supervisor._sweep()
    assert caplog.messages == [
        "3 connections refused: too many sessions",
        "1 connections refused: too many addresses",
    ]
    assert supervisor.admission.refused.total() == 4, "the second four wait for their line"


# -- drain -----------------------------------------------------------------------------------------------


def test_a_drain_without_sessions_takes_no_time(gateway: Gateway) -> None:
    began = time.monotonic()
    gateway.supervisor.drain(30.0)
    assert time.monotonic() - began < 5


def test_a_drain_ends_every_session_spread_over_its_time(
    gateway: Gateway, fresh_server: XmppServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first at once, the last after four fifths of the time, so that it has time to close."""
    ended: list[float] = []
    end = gateway.supervisor._end
    monkeypatch.setattr(
        gateway.supervisor, "_end", lambda relay: (ended.append(time.monotonic()), end(relay))
    )
    sessions = [log_in(gateway, fresh_server) for _ in range(5)]
    began = time.monotonic()
    drain = gevent.spawn(gateway.supervisor.drain, 2.0)
    for session in sessions:
        assert in_thread(session.browser.until_close)[1:] == (1012, "system-shutdown")
        session.browser.close()
        session.server.close()
    drain.get(timeout=10)
    assert gateway.supervisor.draining
    assert not gateway.supervisor.sessions
    assert len(ended) == 5
    assert ended[0] - began < 1.0
    assert ended[-1] - ended[0] > 0.8


def test_a_session_whose_101_comes_during_a_drain_is_ended_too(
    gateway: Gateway, fresh_server: XmppServer
) -> None:
    """Its request had been judged before the drain began; later requests are refused."""
    supervisor = gateway.supervisor
    sessions = [log_in(gateway, fresh_server) for _ in range(3)]
    drain = gevent.spawn(supervisor.drain, 1.5)
    wait_here(lambda: supervisor.draining, "drain")
    supervisor.draining = False
    late = in_thread(Browser, port_of(gateway))
    supervisor.draining = True
    assert in_thread(late.until_close)[1:] == (1012, "system-shutdown")
    for session in sessions:
        in_thread(session.browser.until_close)
        session.browser.close()
        session.server.close()
    late.close()
    drain.get(timeout=10)
    assert not supervisor.sessions


# -- from a listener's settings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "uri"),
    [
        ("a.example", "wss://a.example/ws"),
        ("a.example:5222", "wss://a.example/ws"),
        ("[2001:db8::7]", "wss://[2001:db8::7]/ws"),
        ("[2001:db8::7]:5222", "wss://[2001:db8::7]/ws"),
    ],
)
def test_see_other_host_becomes_a_uri_without_the_port_of_tcp(host: str, uri: str) -> None:
    assert SeeOther("wss://@HOST@/ws")(host) == uri
    assert SeeOther(None)(host) is None


def test_the_settings_of_a_session_are_those_of_its_listener() -> None:
    (listener,) = from_arguments("127.0.0.1:0", ["localhost"], ["tcp://127.0.0.1:1"]).listeners
    listener = replace(
        listener,
        websocket_ping_interval=1.0,
        pong_timeout=2.0,
        websocket_timeout=3.0,
        close_timeout=4.0,
        max_sessions=5,
        max_sessions_per_ip=6,
        max_connect_rate_per_ip=7.0,
        max_connect_burst_per_ip=8,
    )
    settings = SessionSettings.of(listener)
    assert tuple(settings.timers) == (1.0, 2.0, 3.0, 4.0)
    assert settings.limits.idle_timeout == 3.0
    assert tuple(settings.connection_limits) == (5, 6, 7.0, 8)
