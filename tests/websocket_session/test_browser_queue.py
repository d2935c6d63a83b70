"""Answers to pings, and deadlines, while the browser takes its bytes slowly or not at all."""

from __future__ import annotations

import pytest

from tests.support.wire import PING, frame
from tests.websocket_session.session import TIMERS, XmppSide, receive, session_in
from wsgw.websocket_frame import make, make_close, make_ping, make_pong
from wsgw.websocket_session import Timers, WebSocketSession


class Connection:
    """To a browser that takes as many bytes as the test sets."""

    def __init__(self) -> None:
        self.queued = 0
        self.mark_pending = False
        self.sent_and_taken = (0, 0)
        self.marks = 0

    def mark(self) -> None:
        self.marks += 1
        self.mark_pending = self.queued > 0


def taking_session(timers: Timers = TIMERS) -> tuple[WebSocketSession, XmppSide, Connection]:
    session, xmpp = session_in("ws_session", timers)
    connection = Connection()
    session.attach(xmpp, 0.0, connection)
    return session, xmpp, connection


def sent(session: WebSocketSession) -> list[bytes]:
    frames = list(session.data_to_send)
    session.data_to_send.clear()
    session.sent(1.0)
    return frames


def test_the_latest_ping_is_remembered_while_a_pong_is_queued() -> None:
    session, _, connection = taking_session()
    connection.queued = 1000
    receive(frame(b"1", PING) + frame(b"2", PING))(session)
    assert sent(session) == [make_pong(b"1")]
    for payload in (b"3", b"4"):
        receive(frame(payload, PING))(session)
    session.send(b" ")
    session.send(b" ")
    assert sent(session) == []
    connection.mark_pending = False  # the pong has left; other bytes are queued
    session.answers_taken()
    assert sent(session) == [make_pong(b"4"), make(b" ")]
    assert connection.marks == 2
    receive(frame(b"5", PING))(session)
    connection.queued, connection.mark_pending = 0, False
    session.answers_taken()
    receive(frame(b"6", PING))(session)
    assert sent(session) == [make_pong(b"5"), make_pong(b"6")]


def test_a_ping_is_answered_before_the_sent_close() -> None:
    session, _, connection = taking_session()
    connection.queued = 1000
    receive(frame(b"1", PING) + frame(b"2", PING))(session)
    session.close(1000, "")
    assert sent(session) == [make_pong(b"1"), make_pong(b"2"), make_close(1000)]
    session.answers_taken()
    assert sent(session) == []


@pytest.mark.parametrize("idle_timeout", [300, 100])
def test_a_browser_that_takes_the_bytes_before_the_ping_is_not_lost(idle_timeout: int) -> None:
    session, xmpp, connection = taking_session(TIMERS._replace(idle_timeout=idle_timeout))
    connection.sent_and_taken = (9000, 1000)
    session.tick(30.0, reading=True)
    assert session.data_to_send == [make_ping()]
    now = 30.0
    for taken in range(2000, 9001, 1000):
        now += 20
        connection.sent_and_taken = (9002, taken)
        session.tick(now, reading=True)
        assert not session.finished
    connection.sent_and_taken = (9002, 9002)
    session.tick(now + 20, reading=True)
    assert not session.finished, "the ping has only now reached the browser"
    session.tick(now + 40, reading=True)
    assert xmpp.told == ["lost no pong"]


def test_a_browser_that_takes_nothing_is_lost() -> None:
    session, xmpp, connection = taking_session()
    connection.sent_and_taken = (9000, 1000)
    session.tick(30.0, reading=True)
    session.tick(50.0, reading=True)
    assert xmpp.told == ["lost no pong"]


def test_a_ping_with_no_bytes_before_it_has_its_deadline() -> None:
    session, xmpp, connection = taking_session()
    connection.sent_and_taken = (9000, 9000)
    session.tick(30.0, reading=True)
    connection.sent_and_taken = (9002, 9002)
    session.tick(50.0, reading=True)
    assert xmpp.told == ["lost no pong"]


def test_the_close_deadline_waits_while_the_browser_takes_the_bytes_before() -> None:
    session, _, connection = taking_session()
    session.close(1000, "")
    connection.sent_and_taken = (9000, 1000)
    session.tick(100.0, reading=True)
    for now, taken in ((105.0, 5000), (110.0, 9000)):
        connection.sent_and_taken = (9000, taken)
        session.tick(now, reading=True)
        assert not session.finished
    session.tick(115.0, reading=True)
    assert session.finished
