"""The deadlines of one WebSocket: ping, pong, idle session, Close."""

from __future__ import annotations

import math

import pytest

from tests.support.wire import PONG, frame
from tests.websocket_session.session import TIMERS, session_in
from wsgw.websocket_frame import make_close, make_ping


@pytest.mark.rule("bytes-ping")
def test_ping_after_outbound_quiet() -> None:
    session, _ = session_in("ws_session")
    session.tick(29.9, reading=True)
    assert session.data_to_send == []
    session.sent(10.0)
    session.receive_data(b"", 25.0)
    session.tick(39.9, reading=True)
    assert session.data_to_send == []
    session.tick(40.0, reading=True)
    assert session.data_to_send == [make_ping()]


def test_ping_although_we_send_all_the_time() -> None:
    """A peer that is gone takes what we send for a long time: silence from it is asked about too."""
    session, _ = session_in("ws_session")
    session.sent(29.0)
    session.tick(30.0, reading=True)
    assert session.data_to_send == [make_ping()]


@pytest.mark.rule("bytes-ping")
def test_missing_pong_loses_the_browser() -> None:
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
def test_anything_received_proves_life(life: bytes) -> None:
    session, xmpp = session_in("ws_session")
    session.tick(30.0, reading=True)
    session.receive_data(life, 40.0)
    session.tick(50.0, reading=True)
    assert xmpp.told == []
    assert not session.finished


def test_due_is_never_later_than_what_the_next_look_may_find() -> None:
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
    assert session.due == 60.0, "the next ping, counted from what we sent last"
    session.close(1000, "")
    session.tick(51.0, reading=True)
    session.tick(56.0, reading=True)
    assert session.finished, "the closing handshake is not put off"


def test_pings_come_as_often_as_wanted_however_long_a_pong_may_take() -> None:
    """Whoever sets a short interval has a proxy in front that cuts quiet connections."""
    session, _ = session_in("ws_session", TIMERS._replace(ping_interval=5))
    session.tick(1.0, reading=True)
    for now in (5.0, 10.0, 15.0):
        session.tick(now, reading=True)
        assert session.data_to_send == [make_ping()], now
        session.data_to_send.clear()
        session.receive_data(frame(b"", PONG), now + 0.1)
        session.process(10)


def test_deadlines_rest_while_the_browser_is_not_read() -> None:
    session, xmpp = session_in("ws_session")
    session.tick(30.0, reading=True)
    session.tick(1000.0, reading=False)
    session.tick(1019.0, reading=True)
    assert xmpp.told == []
    session.tick(1020.0, reading=True)
    assert xmpp.told == ["lost no pong"]


def test_idle_ends_with_connection_timeout() -> None:
    session, xmpp = session_in("ws_session", TIMERS._replace(ping_interval=math.inf))
    session.tick(299.9, reading=True)
    assert xmpp.told == []
    session.tick(300.0, reading=True)
    assert xmpp.told == ["fail connection-timeout"]
    assert session.data_to_send == [make_close(1000, b"connection-timeout")]


def test_unanswered_close_is_waited_for_so_long() -> None:
    session, _ = session_in("ws_closing")
    session.tick(100.0, reading=True)
    session.tick(104.9, reading=True)
    assert not session.finished
    session.tick(105.0, reading=True)
    assert session.finished
