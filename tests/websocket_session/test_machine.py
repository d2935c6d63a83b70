"""The state machine of one WebSocket: every state with every event, messages that wait, and chunking."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.wire import CLOSE, PING, PONG, frame
from tests.websocket_session.session import EVENTS, HEADERS, receive, session_in
from wsgw.errors import HandshakeRefused
from wsgw.websocket_frame import make, make_close, make_pong

FORBIDDEN = "XMPP over WebSocket forbid binary frames"
#: The effect of each event in ``ws_session``: (next state, frames sent, calls of the XMPP side).
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
#: In ``ws_closing`` only the browser's Close, its loss, or invalid frames have an effect.
ENDS_CLOSING = {"close", "empty close", "lost", "bad frame", "bad text", "big text", "binary"}


@pytest.mark.rule("6455-5.5.3")
@pytest.mark.parametrize("event", EVENTS)
def test_each_event_in_ws_session_has_its_effect(event: str) -> None:
    session, xmpp = session_in("ws_session")
    EVENTS[event](session)
    assert (session.state_name, session.data_to_send, xmpp.told) == WS_SESSION[event]
    assert session.finished == (session.state_name == "ws_closed")


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_in_ws_closing_has_its_effect(event: str) -> None:
    session, xmpp = session_in("ws_closing")
    EVENTS[event](session)
    assert session.finished == (event in ENDS_CLOSING)
    assert session.data_to_send == []
    assert [told for told in xmpp.told if not told.startswith("text")] == []


@pytest.mark.parametrize("event", EVENTS)
def test_no_event_has_an_effect_in_ws_closed(event: str) -> None:
    session, xmpp = session_in("ws_closed")
    EVENTS[event](session)
    assert (session.state_name, session.data_to_send, xmpp.told) == ("ws_closed", [], [])


@pytest.mark.parametrize("state", ["ws_handshake_request", "ws_handshake_header"])
def test_a_browser_lost_before_the_upgrade_finishes_the_session(state: str) -> None:
    session, _ = session_in(state)
    session.send(b"nothing is sent yet")
    assert session.data_to_send == []
    session.lost()
    assert session.finished


def test_a_refused_upgrade_finishes_the_session() -> None:
    session, _ = session_in("ws_handshake_header")
    with pytest.raises(HandshakeRefused, match="need exactly one 'Host' header"):
        session.http_eoh(lambda _segments: True, ())
    assert session.finished


def test_an_upgrade_gives_the_key() -> None:
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
    """Up to the first message, which waits: frames after it may depend on it."""
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


def test_a_close_is_handled_while_the_xmpp_side_is_not_ready() -> None:
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
    """Empty fragments are no messages, but one turn must not process ten thousand of them."""
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


def test_a_close_reason_is_cut_to_whole_characters() -> None:
    session, _ = session_in("ws_session")
    session.close(1008, "ü" * 100)
    assert session.data_to_send == [make_close(1008, "ü".encode() * 61)]


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
def test_any_chunks_have_the_same_outcome(cuts: list[int]) -> None:
    whole, told_whole = session_in("ws_session")
    receive(CONVERSATION)(whole)
    pieces, told_pieces = session_in("ws_session")
    borders = [0, *sorted(set(cuts)), len(CONVERSATION)]
    for start, end in itertools.pairwise(borders):
        receive(CONVERSATION[start:end])(pieces)
    assert told_pieces.told == told_whole.told
    assert pieces.data_to_send == whole.data_to_send
    assert pieces.state_name == whole.state_name == "ws_closed"
