"""Faults of wsgw, in this process: how their sessions are counted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from tests.support.wire import OPENINGS, Browser
from wsgw.config import from_arguments
from wsgw.errors import SessionError, causes
from wsgw.errors.causes import Cause
from wsgw.gateway import Gateway
from wsgw.websocket_xmpp import WebSocketXmpp


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A gateway in this process, which never connects to its XMPP server."""
    gateway = Gateway.alone(from_arguments("127.0.0.1:0", ["localhost"], ["tcp://127.0.0.1:1"]))
    gateway.start()
    yield gateway
    gateway.stop()


Broken = Callable[[WebSocketXmpp, Any], None]


def fault(_xmpp: WebSocketXmpp, _argument: object) -> None:
    raise RuntimeError("a fault of ours")


def close_and_fault(xmpp: WebSocketXmpp, error: SessionError) -> None:
    xmpp._browser.close(error.code, error.condition)
    raise RuntimeError("a fault of ours")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        ({"process_request": fault}, causes.FAULT),
        ({"process_request": fault, "fail": fault}, causes.BROWSER_LOST),
        ({"process_request": fault, "fail": close_and_fault}, causes.GATEWAY_STOPPED),
        ({"process_request": fault, "fail": fault, "browser_lost": fault}, causes.UNKNOWN),
    ],
    ids=["in a message", "before its end", "in its end", "in all that could end it"],
)
def test_a_fault_ends_its_session_only(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, broken: dict[str, Broken], cause: Cause
) -> None:
    for method, replacement in broken.items():
        monkeypatch.setattr(WebSocketXmpp, method, replacement)
    monkeypatch.setattr(gevent.get_hub(), "handle_error", lambda *_error: None)
    in_thread = gevent.get_hub().threadpool.apply
    browser: Browser = in_thread(Browser, (gateway.listeners[0].server_port,))
    browser.text(OPENINGS["rfc7395"])
    with contextlib.suppress(OSError, EOFError, ValueError):
        in_thread(browser.until_close)
    tally = gateway.supervisor.tally
    with gevent.Timeout(5):
        while gateway.supervisor.sessions or not tally.closed:
            gevent.sleep(0.01)
    assert tally.closed == {cause.label: 1}
    assert not tally.limits_hit
    browser.close()
