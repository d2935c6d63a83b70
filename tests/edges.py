"""Fixtures of tests at the edge: a scripted XMPP server, and gateways in processes of their own before it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from real.certificates import Certificate
from real.gateway import Gateway
from wire import Connection, XmppServer

StartEdge = Callable[..., Gateway]


@pytest.fixture(autouse=True)
def hung_up() -> Iterator[None]:
    """Nobody whom a test has connected stays longer than the test; those of its module's fixtures do."""
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


@pytest.fixture(scope="module")
def start_edge(
    xmpp_server: XmppServer, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartEdge]:
    """``start_edge(**settings)``: the module's gateway with these settings of ``Gateway``.

    ``port`` names another XMPP server, ``fresh`` asks for one that nobody has used. At the end every
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
