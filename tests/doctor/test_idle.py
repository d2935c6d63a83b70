"""The end of a quiet connection, with a server that the test plays; ``test_outside`` has real proxies."""

from __future__ import annotations

import re
import socket
import threading

import pytest

from tests.doctor.played import FEATURES, OPEN, says, serving
from tests.support.wire import CLOSE, PING, frame
from wsgw.config.source import Source
from wsgw.doctor import idle, stream
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Inquiry

CLOSING = frame((1008).to_bytes(2, "big"), CLOSE, masked=False)


def finding(url: str, seconds: float = 5.0) -> Finding:
    (found,) = idle.check(Inquiry(("localhost",), Source(), url=url, idle=seconds))
    return found


@pytest.mark.parametrize(
    ("last", "verdict", "words"),
    [
        (CLOSING, Verdict.SKIPPED, r"was ended after \d s \(auth_timeout\), with 0 pings answered"),
        (frame(b"", PING, masked=False) + CLOSING, Verdict.OK, "no idle cut: .* with 1 ping answered"),
        (b"", Verdict.FAILED, r"the proxy cuts a connection after \d s without traffic$"),
    ],
    ids=["session", "session-with-ping", "cut"],
)
def test_the_end_of_a_quiet_connection(last: bytes, verdict: Verdict, words: str) -> None:
    def answer(connection: socket.socket, request: bytes) -> None:
        says(OPEN, FEATURES, waits=False)(connection, request)
        connection.sendall(last)

    with serving(answer) as url:
        found = finding(url)
    assert found.verdict is verdict
    assert re.search(words, found.what), found


def test_a_connection_that_is_dead_after_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """As behind a firewall that has forgotten it."""
    monkeypatch.setattr(idle, "_ANSWER", 0.1)
    checked = threading.Event()

    def answer(connection: socket.socket, request: bytes) -> None:
        says(OPEN, FEATURES, waits=False)(connection, request)
        checked.wait(5)

    with serving(answer) as url:
        found = finding(url, seconds=0.05)
        checked.set()
    assert (found.verdict, "is dead after 0.05 s" in found.what) == (Verdict.FAILED, True)


def test_without_a_websocket_there_is_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "TIMEOUT", 0.1)
    with serving(lambda _connection, _request: None) as url:
        assert finding(url).verdict is Verdict.SKIPPED
    with serving(says()) as url:
        assert finding(url).verdict is Verdict.SKIPPED
