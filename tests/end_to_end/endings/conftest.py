"""One session in each framing, through a real gateway process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.edges import Pair, StartEdge
from tests.support.gateway import Gateway
from tests.support.wire import XmppServer

FRAMINGS = ("rfc7395", "legacy")
#: Long enough that on any machine the test ends its session, and no deadline does.
OPTIONS = "{websocket_ping_interval, infinity}, {close_timeout, 60}, "
#: Deadlines that a test waits for; all are far below their defaults, which exceed the deadline of a read.
HASTY = "{websocket_ping_interval, infinity}, {open_timeout, 1}, {auth_timeout, 1}, {close_timeout, 1}, "


@pytest.fixture(scope="module")
def edge(start_edge: StartEdge) -> Gateway:
    return start_edge(ws_options=OPTIONS)


@pytest.fixture(scope="module")
def hasty(start_edge: StartEdge) -> Gateway:
    return start_edge(ws_options=HASTY)


@pytest.fixture(params=FRAMINGS)
def framing(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def session(edge: Gateway, xmpp_server: XmppServer, framing: str) -> Iterator[Pair]:
    session = Pair(edge, xmpp_server, framing)
    yield session
    session.close()
