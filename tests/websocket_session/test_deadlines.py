"""The deadlines of one WebSocket: ping, pong, idle session, Close."""

from __future__ import annotations

import math

import pytest

from tests.support.wire import PONG, frame
from tests.websocket_session.session import TIMERS, session_in
from wsgw.websocket_frame import make_close, make_ping


@pytest.mark.rule("bytes-ping")
def test_a_ping_is_sent_after_the_interval_without_frames_sent() -> None:
    session, _ = session_in("ws_session")
    session.tick(29.9, reading=True)
    assert session.data_to_send == []
    session.sent(10.0)
    session.receive_data(b"", 25.0)
    session.tick(39.9, reading=True)
    assert session.data_to_send == []
    session.tick(40.0, reading=True)
    assert session.data_to_send == [make_ping()]


def test_a_ping_is_sent_although_frames_are_sent_all_the_time() -> None:
    """The kernel accepts bytes for a vanished peer for a long time: its silence causes a ping too."""
    session, _ = session_in("ws_session")
    session.sent(29.0)
    session.tick(30.0, reading=True)
    assert session.data_to_send == [make_ping()]


@pytest.mark.rule("bytes-ping")
def test_a_missing_pong_loses_the_browser() -> None:
    session, xmpp = session_in("ws_session")
    session.tick(30.0, reading=True)
    session.tick(49.9, reading=True)
    assert not session.finished
    session.tick(50.0, reading=True)
    assert session.finished
    assert xmpp.told == ["lost no pong"]
    assert session.data_to_send == [make_ping()]


@pytest.mark.parametrize(
    "life", [frame(b"", PONG), frame(b"<a/>"), b"\x81"], ids=["pong", "text", "part of a frame"]
)
def test_any_received_frame_proves_life(life: bytes) -> None:
    session, xmpp = session_in("ws_session")
    session.tick(30.0, reading=True)
    session.receive_data(life, 40.0)
    session.tick(50.0, reading=True)
    assert xmpp.told == []
    assert not session.finished


def test_due_is_never_later_than_the_next_deadline() -> None:
    session, _ = session_in("ws_session")
    assert session.due == 0.0
    session.tick(1.0, reading=True)
    assert session.due == 30.0, "the ping"
    session.sent(20.0)
    session.tick(30.0, reading=True)
    assert session.data_to_send == [make_ping()]
    assert session.due == 50.0, "the pong"
    session.receive_data(frame(b"", PONG), 31.0)
    session.process(10)
    assert session.ping_time == 1.0
    session.tick(50.0, reading=True)
    assert session.due == 60.0, "the next ping, counted from the last frame sent"
    session.close(1000, "")
    session.tick(51.0, reading=True)
    session.tick(56.0, reading=True)
    assert session.finished, "the closing handshake is not delayed"


def test_the_ping_interval_does_not_depend_on_the_pong_timeout() -> None:
    """A short interval is set for a proxy that cuts quiet connections."""
    session, _ = session_in("ws_session", TIMERS._replace(ping_interval=5))
    session.tick(1.0, reading=True)
    for now in (5.0, 10.0, 15.0):
        session.tick(now, reading=True)
        assert session.data_to_send == [make_ping()], now
        session.data_to_send.clear()
        session.receive_data(frame(b"", PONG), now + 0.1)
        session.process(10)


def test_deadlines_do_not_run_while_the_browser_is_not_read() -> None:
    session, xmpp = session_in("ws_session")
    session.tick(30.0, reading=True)
    session.tick(1000.0, reading=False)
    session.tick(1019.0, reading=True)
    assert xmpp.told == []
    session.tick(1020.0, reading=True)
    assert xmpp.told == ["lost no pong"]


def test_an_idle_session_ends_with_connection_timeout() -> None:
    session, xmpp = session_in("ws_session", TIMERS._replace(ping_interval=math.inf))
    session.tick(299.9, reading=True)
    assert xmpp.told == []
    session.tick(300.0, reading=True)
    assert xmpp.told == ["fail connection-timeout"]
    assert session.data_to_send == [make_close(1000, b"connection-timeout")]


def test_an_unanswered_close_ends_after_close_timeout() -> None:
    session, _ = session_in("ws_closing")
    session.tick(100.0, reading=True)
    session.tick(104.9, reading=True)
    assert not session.finished
    session.tick(105.0, reading=True)
    assert session.finished
