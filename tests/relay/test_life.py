"""One session's greenlet, in this process: the events in the turn of the loop in which it stops waiting."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

from tests.support.here import config_for, in_thread, port_of, running, wait_here
from tests.support.wire import OPENINGS, Browser, XmppServer
from wsgw.config.model import Traced
from wsgw.errors import UpstreamFailed, causes
from wsgw.gateway import Gateway
from wsgw.relay.life import Relay
from wsgw.socket_async import PeerState, SocketAsync


@pytest.fixture
def gateway(fresh_server: XmppServer) -> Iterator[Gateway]:
    """A gateway in this process; blocking peers run in native threads."""
    with running(config_for(fresh_server.port)) as gateway:
        yield gateway


class Gate:
    """Wraps ``Upstream.connect``, which returns when the test opens the gate."""

    def __init__(self, connect: Callable[..., SocketAsync]) -> None:
        self._connect = connect
        self._opened = Event()
        self.waiting = Event()
        self.fails = False
        self.connected: list[SocketAsync] = []

    def connect(self, domain: str, client: Any) -> SocketAsync:
        if not self.fails:
            self.connected.append(self._connect(domain, client))
        self.waiting.set()
        self._opened.wait()
        if self.fails:
            raise UpstreamFailed(causes.UPSTREAM_UNREACHABLE)
        return self.connected[0]

    def open(self) -> None:
        """The greenlet continues in the next turn of the loop, before work that is scheduled later."""
        self._opened.set()


@pytest.fixture
def gate(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gate:
    upstream = gateway.listeners[0].context.upstream
    gate = Gate(upstream.connect)
    monkeypatch.setattr(upstream, "connect", gate.connect)
    return gate


def connecting(gateway: Gateway, gate: Gate) -> tuple[Relay, Browser]:
    """A session whose greenlet waits at the gate."""
    browser = in_thread(Browser, port_of(gateway))
    browser.text(OPENINGS["rfc7395"])
    with gevent.Timeout(5):
        gate.waiting.wait()
    (relay,) = gateway.supervisor.sessions
    return relay, browser


def reset_seen(relay: Relay, browser: Browser) -> None:
    """The browser vanishes; returns when the gateway's kernel knows it."""
    browser.reset()
    wait_here(lambda: relay._browser.peer_state() is PeerState.GONE, "RST")


def over(gateway: Gateway) -> None:
    wait_here(lambda: not gateway.supervisor.sessions, "end of the session")


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The exceptions that escape from a greenlet or callback."""
    faults: list[object] = []
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda _context, *error: faults.append(error))
    return faults


@pytest.mark.parametrize("fails", [False, True], ids=["connected", "refused"])
def test_a_browser_lost_as_its_server_answers_ends_the_session_once(
    gateway: Gateway, gate: Gate, faults: list[object], fails: bool
) -> None:
    """The session does not end before the server's connection is closed."""
    gate.fails = fails
    relay, browser = connecting(gateway, gate)
    reset_seen(relay, browser)
    gate.open()
    relay.drop(causes.BROWSER_LOST)
    over(gateway)
    gevent.sleep(0)
    assert faults == []
    assert all(connection.closed for connection in gate.connected)


def test_a_lost_browsers_greenlet_waits_no_longer_for_the_server(
    gateway: Gateway, gate: Gate, faults: list[object]
) -> None:
    relay, browser = connecting(gateway, gate)
    reset_seen(relay, browser)
    relay.drop(causes.BROWSER_LOST)
    relay.drop(causes.BROWSER_LOST)
    over(gateway)
    gevent.sleep(0)
    assert faults == []
    for connection in gate.connected:
        connection.close()


def test_each_state_writes_a_line_at_debug(
    gateway: Gateway, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "wsgw.session_log")
    gateway.supervisor.trace(Traced(), everything=True)
    relay, browser = connecting(gateway, gate)
    gate.open()
    wait_here(lambda: relay.up.sink is not None, "connection to the XMPP server")
    relay.gateway_stops()
    relay.drop(causes.GATEWAY_STOPS)
    over(gateway)
    browser.close()
    seen = [record.getMessage() for record in caplog.records if " = relay " in record.getMessage()]
    states = ("connecting", "flowing", "parting", "ending", "closed")
    assert seen == [f"#1 127.0.0.1 = relay {state}" for state in states]
