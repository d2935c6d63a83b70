"""Faults of wsgw, in this process: how their sessions are counted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from tests.support.here import config_for, in_thread, port_of, running, wait_here
from tests.support.wire import OPENINGS, Browser
from wsgw.errors import SessionError, causes
from wsgw.errors.causes import Cause
from wsgw.gateway import Gateway
from wsgw.websocket_xmpp import WebSocketXmpp


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """A gateway in this process, which never connects to its XMPP server."""
    with running(config_for(1)) as gateway:
        yield gateway


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
    browser = in_thread(Browser, port_of(gateway))
    browser.text(OPENINGS["rfc7395"])
    with contextlib.suppress(OSError, EOFError, ValueError):
        in_thread(browser.until_close)
    tally = gateway.supervisor.tally
    wait_here(lambda: tally.closed and not gateway.supervisor.sessions, "end of the session")
    assert tally.closed == {cause.label: 1}
    assert not tally.limits_hit
    browser.close()
