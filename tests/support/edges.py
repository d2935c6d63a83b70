"""Fixtures of tests at the edge: a scripted XMPP server, gateways in front of it, sessions through them."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.certificates import Certificate
from tests.support.gateway import Gateway
from tests.support.wire import CLOSINGS, OPENINGS, Browser, Connection, XmppServer

StartEdge = Callable[..., Gateway]


class Pair:
    """A session in whose stream the server has sent ``first``; the test plays both ends."""

    def __init__(self, edge: Gateway, server: XmppServer, framing: str = "rfc7395") -> None:
        self.framing = framing
        self.browser = Browser(edge.ws_port)
        self.browser.text(OPENINGS[framing])
        self.server: Connection = server.accept_stream()
        self.header = self.browser.message()
        assert b"success" in self.browser.message()
        self._numbers = itertools.count()

    def goes_on(self) -> None:
        """Send a stanza in each direction, which must arrive before the deadline of a read."""
        number = next(self._numbers)
        up = b"<presence xmlns='jabber:client' id='up%d'/>" % number
        self.browser.text(up)
        assert self.server.read(len(up)) == up
        self.server.send(b"<message id='down%d'/>" % number)
        assert b"id='down%d'" % number in self.browser.message()

    @property
    def closing(self) -> bytes:
        """The end of the stream in the session's framing."""
        return CLOSINGS[self.framing]

    def close(self) -> None:
        self.browser.close()
        self.server.close()


@pytest.fixture(autouse=True)
def hung_up() -> Iterator[None]:
    """Connections of a test end with the test; those of its module's fixtures stay."""
    others = set(Connection.opened)
    yield
    for connection in Connection.opened - others:
        connection.close()


@pytest.fixture(scope="module")
def xmpp_server() -> Iterator[XmppServer]:
    """An XMPP server that each test plays itself."""
    server = XmppServer()
    yield server
    server.close()


@pytest.fixture
def fresh_server() -> Iterator[XmppServer]:
    """Another one, for one test alone: no connection of an earlier test waits there."""
    server = XmppServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def start_edge(
    xmpp_server: XmppServer, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartEdge]:
    """``start_edge(**settings)``: the module's gateway with these settings of ``Gateway``.

    ``port`` names another XMPP server, ``fresh`` asks for an unused gateway. At the end every
    gateway still running must stop in order and leave a clean log.
    """
    running: dict[str, Gateway] = {}

    def start(*, port: int = xmpp_server.port, fresh: bool = False, **settings: Any) -> Gateway:
        key = f"{port} {settings} {len(running) if fresh else ''}"
        if key not in running:
            gateway = Gateway(tmp_path_factory.mktemp("edge"), certificate, port, **settings)
            try:
                running[key] = gateway.start()
            finally:
                if key not in running:
                    gateway.close()
        return running[key]

    yield start
    for gateway in running.values():
        gateway.child.signal(signal.SIGTERM)
    statuses = [gateway.child.wait(40) for gateway in running.values()]
    for gateway in running.values():
        gateway.close()
        gateway.assert_clean_log({})
    assert statuses == [0] * len(running)


@pytest.fixture(scope="module")
def witness(edge: Gateway, xmpp_server: XmppServer) -> Iterator[Pair]:
    """A session over the module's ``edge`` that the other sessions must not disturb."""
    pair = Pair(edge, xmpp_server)
    yield pair
    pair.close()
