"""The state machine of one WebSocket: every state by every event, deadlines, and chunking."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.wire import BINARY, CLOSE, PING, PONG, TEXT, frame
from wsgw.errors import HandshakeRefused, SessionError
from wsgw.errors.causes import Cause, Ending
from wsgw.websocket_frame import make, make_close, make_ping, make_pong
from wsgw.websocket_session import Timers, WebSocketSession

TIMERS = Timers(ping_interval=30, pong_timeout=20, idle_timeout=300, close_timeout=5)
HEADERS = (
    ("Host", "localhost"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Protocol", "xmpp"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)


class XmppSide:
    """Notes what the session tells it; ``fail`` does what the real one does to the WebSocket."""

    def __init__(self, session: WebSocketSession) -> None:
        self.ready = True
        self.told: list[str] = []
        self._session = session

    def process_request(self, text: bytes) -> None:
        self.told.append(f"text {text.decode()}")

    def browser_lost(self, cause: Cause, detail: str = "") -> None:
        self.told.append(f"lost {Ending(cause, detail)}")

    def fail(self, error: SessionError) -> None:
        self.told.append(f"fail {error.condition}")
        self._session.close(error.code, error.condition)


def session_in(state: str, timers: Timers = TIMERS) -> tuple[WebSocketSession, XmppSide]:
    """A session that has come to ``state``, with nothing left to send."""
    session = WebSocketSession(timers, 1000)
    xmpp = XmppSide(session)
    if state == "ws_handshake_request":
        return session, xmpp
    session.http_request("GET", "/ws-xmpp", (1, 1))
    if state == "ws_handshake_header":
        return session, xmpp
    for name, value in HEADERS:
        session.http_header(name, value)
    session.http_eoh(lambda _segments: True, ())
    session.attach(xmpp, 0.0)
    if state == "ws_closing":
        session.close(1000, "")
    elif state == "ws_closed":
        session.lost()
    session.data_to_send.clear()
    xmpp.told.clear()
    assert session.state_name == state
    return session, xmpp


def receive(data: bytes) -> Callable[[WebSocketSession], None]:
    def event(session: WebSocketSession) -> None:
        session.receive_data(data, 1.0)
        session.process(100)

    return event


EVENTS: dict[str, Callable[[WebSocketSession], None]] = {
    "text": receive(frame(b"<a/>", TEXT)),
    "binary": receive(frame(b"<a/>", BINARY)),
    "ping": receive(frame(b"p", PING)),
    "pong": receive(frame(b"p", PONG)),
    "close": receive(frame(b"\x0b\xb9bye", CLOSE)),
    "empty close": receive(frame(b"", CLOSE)),
    "bad frame": receive(frame(b"<a/>", masked=False)),
    "bad text": receive(frame(b"\xff")),
    "big text": receive(frame(b"x" * 1001)),
    "send": lambda session: session.send(b"<b/>"),
    "xmpp close": lambda session: session.close(1008, "why"),
    "lost": lambda session: session.lost(),
}
FORBIDDEN = "XMPP over WebSocket forbid binary frames"
#: What each event does in ``ws_session``: (next state, frames out, what the XMPP side is told).
WS_SESSION = {
    "text": ("ws_session", [], ["text <a/>"]),
    "binary": ("ws_closed", [make_close(1003, FORBIDDEN.encode())], [f"lost 1003 {FORBIDDEN}"]),
    "ping": ("ws_session", [make_pong(b"p")], []),
    "pong": ("ws_session", [], []),
    "close": ("ws_closed", [make_close(3001, b"bye")], ["lost Close 3001"]),
    "empty close": ("ws_closed", [make_close(1000)], ["lost Close 1000"]),
    "bad frame": (
        "ws_closed",
        [make_close(1002, b"unmasked frame from a client")],
        ["lost 1002 unmasked frame from a client"],
    ),
    "bad text": ("ws_closed", [make_close(1007, b"unsupported-encoding")], ["fail unsupported-encoding"]),
    "big text": ("ws_closed", [make_close(1009, b"policy-violation")], ["fail policy-violation"]),
    "send": ("ws_session", [make(b"<b/>")], []),
    "xmpp close": ("ws_closing", [make_close(1008, b"why")], []),
    "lost": ("ws_closed", [], ["lost connection lost"]),
}
#: In ``ws_closing`` only the browser's Close, its loss, or frames out of step count.
ENDS_CLOSING = {"close", "empty close", "lost", "bad frame", "bad text", "big text", "binary"}


@pytest.mark.rule("6455-5.5.3")
@pytest.mark.parametrize("event", EVENTS)
def test_ws_session(event: str) -> None:
    session, xmpp = session_in("ws_session")
    EVENTS[event](session)
    assert (session.state_name, session.data_to_send, xmpp.told) == WS_SESSION[event]
    assert session.finished == (session.state_name == "ws_closed")


@pytest.mark.parametrize("event", EVENTS)
def test_ws_closing(event: str) -> None:
    session, xmpp = session_in("ws_closing")
    EVENTS[event](session)
    assert session.finished == (event in ENDS_CLOSING)
    assert session.data_to_send == []
    assert [told for told in xmpp.told if not told.startswith("text")] == []


@pytest.mark.parametrize("event", EVENTS)
def test_ws_closed(event: str) -> None:
    session, xmpp = session_in("ws_closed")
    EVENTS[event](session)
    assert (session.state_name, session.data_to_send, xmpp.told) == ("ws_closed", [], [])


@pytest.mark.parametrize("state", ["ws_handshake_request", "ws_handshake_header"])
def test_lost_before_the_upgrade(state: str) -> None:
    session, _ = session_in(state)
    session.send(b"nothing is sent yet")
    assert session.data_to_send == []
    session.lost()
    assert session.finished


def test_refused_upgrade_finishes_the_session() -> None:
    session, _ = session_in("ws_handshake_header")
    with pytest.raises(HandshakeRefused, match="need exactly one 'Host' header"):
        session.http_eoh(lambda _segments: True, ())
    assert session.finished


def test_upgrade_gives_the_key() -> None:
    session, _ = session_in("ws_handshake_header")
    for name, value in HEADERS:
        session.http_header(name, value)
    key = session.http_eoh(lambda segments: segments == ("ws-xmpp",), ())
    assert key == "dGhlIHNhbXBsZSBub25jZQ=="


def test_messages_wait_until_the_xmpp_side_is_ready() -> None:
    session, xmpp = session_in("ws_session")
    xmpp.ready = False
    session.receive_data(frame(b"1") + frame(b"2"), 1.0)
    assert session.process(100) is True
    assert xmpp.told == []
    xmpp.ready = True
    assert session.process(100) is False
    assert xmpp.told == ["text 1", "text 2"]


def test_control_frames_are_handled_while_the_xmpp_side_is_not_ready() -> None:
    """Up to the first message, which waits: what follows it may depend on it."""
    session, xmpp = session_in("ws_session")
    xmpp.ready = False
    session.receive_data(frame(b"1", PING) + frame(b"<a", fin=False) + frame(b"2", PING), 1.0)
    assert session.process(100) is False
    assert session.data_to_send == [make_pong(b"1"), make_pong(b"2")]
    assert not session.waits
    session.receive_data(frame(b"/>", 0) + frame(b"3", PING), 1.0)
    assert session.process(100) is True
    assert session.process(100) is True
    assert session.waits
    assert len(session.data_to_send) == 2
    assert xmpp.told == []
    xmpp.ready = True
    assert session.process(100) is False
    assert not session.waits
    assert xmpp.told == ["text <a/>"]
    assert session.data_to_send[2:] == [make_pong(b"3")]


def test_a_close_is_heard_while_the_xmpp_side_is_not_ready() -> None:
    session, xmpp = session_in("ws_session")
    xmpp.ready = False
    EVENTS["close"](session)
    assert (session.finished, xmpp.told) == (True, ["lost Close 3001"])


def test_control_frames_count_as_work_while_the_xmpp_side_is_not_ready() -> None:
    session, xmpp = session_in("ws_session")
    xmpp.ready = False
    session.receive_data(frame(b"", PING) * 5, 1.0)
    assert session.process(3) is True
    assert not session.waits
    assert session.process(3) is False
    assert len(session.data_to_send) == 5


def test_process_stops_at_its_limit() -> None:
    session, xmpp = session_in("ws_session")
    session.receive_data(b"".join(frame(b"%d" % number) for number in range(5)), 1.0)
    assert session.process(3) is True
    assert len(xmpp.told) == 3
    assert session.process(3) is False
    assert xmpp.told == [f"text {number}" for number in range(5)]


def test_fragments_count_as_work() -> None:
    """Empty fragments are no messages, but one turn must not take ten thousand of them."""
    session, xmpp = session_in("ws_session")
    fragments = [frame(b"<a/>", fin=False), *(frame(b"", 0, fin=False) for _ in range(8)), frame(b"", 0)]
    session.receive_data(b"".join(fragments), 1.0)
    assert session.process(5) is True
    assert xmpp.told == []
    assert session.process(6) is False
    assert xmpp.told == ["text <a/>"]


@pytest.mark.rule("6455-5.5.1")
def test_nothing_is_processed_after_the_close() -> None:
    session, xmpp = session_in("ws_session")
    EVENTS["close"](session)
    receive(frame(b"late"))(session)
    assert xmpp.told == ["lost Close 3001"]


def test_close_reason_is_cut_to_whole_characters() -> None:
    session, _ = session_in("ws_session")
    session.close(1008, "ü" * 100)
    assert session.data_to_send == [make_close(1008, "ü".encode() * 61)]


# -- deadlines -------------------------------------------------------------------------------------


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


# -- what the browser takes ------------------------------------------------------------------------


class Connection:
    """To a browser that takes as much as the test says."""

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
    connection.mark_pending = False  # the pong has left; other things are queued
    session.answers_taken()
    assert sent(session) == [make_pong(b"4"), make(b" ")]
    assert connection.marks == 2
    receive(frame(b"5", PING))(session)
    connection.queued, connection.mark_pending = 0, False
    session.answers_taken()
    receive(frame(b"6", PING))(session)
    assert sent(session) == [make_pong(b"5"), make_pong(b"6")]


def test_a_ping_is_answered_before_our_close() -> None:
    session, _, connection = taking_session()
    connection.queued = 1000
    receive(frame(b"1", PING) + frame(b"2", PING))(session)
    session.close(1000, "")
    assert sent(session) == [make_pong(b"1"), make_pong(b"2"), make_close(1000)]
    session.answers_taken()
    assert sent(session) == []


@pytest.mark.parametrize("idle_timeout", [300, 100])
def test_a_browser_that_takes_what_lies_before_the_ping_is_not_lost(idle_timeout: int) -> None:
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
    assert not session.finished, "the ping has only now reached it"
    session.tick(now + 40, reading=True)
    assert xmpp.told == ["lost no pong"]


def test_a_browser_that_takes_nothing_is_lost() -> None:
    session, xmpp, connection = taking_session()
    connection.sent_and_taken = (9000, 1000)
    session.tick(30.0, reading=True)
    session.tick(50.0, reading=True)
    assert xmpp.told == ["lost no pong"]


def test_a_ping_that_nothing_lies_before_has_its_deadline() -> None:
    session, xmpp, connection = taking_session()
    connection.sent_and_taken = (9000, 9000)
    session.tick(30.0, reading=True)
    connection.sent_and_taken = (9002, 9002)
    session.tick(50.0, reading=True)
    assert xmpp.told == ["lost no pong"]


def test_our_close_is_waited_for_while_the_browser_takes_what_lies_before_it() -> None:
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


# -- chunks ----------------------------------------------------------------------------------------

CONVERSATION = b"".join(
    (
        frame(b"<a/>"),
        frame("<b>ü</b>".encode()),
        frame(b"<c>", fin=False),
        frame(b"ping", PING),
        frame(b"</c>", 0),
        frame(b"", PONG),
        frame(b"x" * 300),
        frame(b"\x03\xe8done", CLOSE),
    )
)


@given(st.lists(st.integers(1, len(CONVERSATION) - 1), max_size=20))
def test_chunks_do_not_matter(cuts: list[int]) -> None:
    whole, told_whole = session_in("ws_session")
    receive(CONVERSATION)(whole)
    pieces, told_pieces = session_in("ws_session")
    borders = [0, *sorted(set(cuts)), len(CONVERSATION)]
    for start, end in itertools.pairwise(borders):
        receive(CONVERSATION[start:end])(pieces)
    assert told_pieces.told == told_whole.told
    assert pieces.data_to_send == whole.data_to_send
    assert pieces.state_name == whole.state_name == "ws_closed"
