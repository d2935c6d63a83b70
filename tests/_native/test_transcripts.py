"""A session with native functions sends the same bytes and counts the same as one in pure Python.

Both machines of a session are played here, without sockets. The browser and the server send their bytes in
any pieces. Uncommon frames and elements at any place are handed back to Python, and the order stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests._native.stanzas import REAL, mutated
from tests.support.both_ways import needs_native
from tests.support.wire import OPENINGS, SERVER_HEADER, SUCCESS
from tests.test_websocket_frame import frame, text
from wsgw._native import choice
from wsgw._native.choice import Choice
from wsgw.websocket_frame import Opcode
from wsgw.websocket_session import Timers, WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp, XmppLimits

pytestmark = needs_native

FEATURES = b"<stream:features/>"
TIMERS = Timers(30.0, 10.0, 300.0, 5.0)
LIMITS = XmppLimits(20_000, 30, 20, 10.0, 30.0, 300.0)
BOUND = (
    b"<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@b/c</jid></bind></iq>"
)
INHERITED = tuple(one.replace(b" xmlns='jabber:client'", b"", 1) for one in REAL)


class Transcript(NamedTuple):
    to_browser: bytes
    to_server: bytes
    frames: int
    from_client: int
    to_client: int
    states: tuple[str, str]
    ending: str


class Played:
    """Both machines of a session that has logged in."""

    def __init__(self, framing: str = "rfc7395") -> None:
        self.session = WebSocketSession(TIMERS, 10_000)
        self.xmpp = WebSocketXmpp(self.session, LIMITS, lambda to: to, 0.0)
        self.session.http_request("GET", "/ws-xmpp", (1, 1))
        self.session._enter(WebSocketSession.ws_session)
        self.session.attach(self.xmpp, 0.0)
        opening = OPENINGS[framing]
        self.browser(text(opening))
        self.xmpp.upstream_connected()
        self.server(SERVER_HEADER + FEATURES + SUCCESS)
        self.browser(text(opening))
        self.server(SERVER_HEADER + FEATURES + BOUND)
        assert self.xmpp.login.over
        self.session.data_to_send.clear()
        self.xmpp.to_upstream.clear()

    def browser(self, data: bytes) -> None:
        self.session.receive_data(data, 1.0)
        while self.session.process(256):
            pass

    def server(self, data: bytes) -> None:
        self.xmpp.upstream_data(data)
        while self.xmpp.process_upstream(256):
            pass

    def transcript(self) -> Transcript:
        session, xmpp = self.session, self.xmpp
        return Transcript(
            b"".join(session.data_to_send),
            b"".join(xmpp.to_upstream),
            session.frames_received,
            xmpp.stanzas_from_client,
            xmpp.stanzas_to_client,
            (session.state_name, xmpp.state_name),
            str(xmpp.ending),
        )


def pieces(data: bytes, places: list[int]) -> Iterator[bytes]:
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    for start, end in pairwise(borders):
        if start != end:
            yield data[start:end]


def play(
    native: bool, from_browser: bytes, from_server: bytes, places: list[int], framing: str = "rfc7395"
) -> Transcript:
    with pytest.MonkeyPatch.context() as patch:
        if not native:
            patch.setattr(choice, "_choice", Choice(None, "forced by a test"))
        for empty in choice.when_changed:
            empty()
        played = Played(framing)
        assert (played.session.stanza_bounds is not None) == (native and framing == "rfc7395")
        for piece in pieces(from_browser, places):
            played.browser(piece)
        for piece in pieces(from_server, places):
            played.server(piece)
        transcript = played.transcript()
    for empty in choice.when_changed:
        empty()
    return transcript


def compare(
    from_browser: bytes, from_server: bytes, places: list[int], framing: str = "rfc7395"
) -> Transcript:
    native = play(True, from_browser, from_server, places, framing)
    assert native == play(False, from_browser, from_server, places, framing)
    return native


UNCOMMON_FRAMES = {
    "a ping": frame(Opcode.PING, b"x"),
    "a fragmented message": text(REAL[0][:9], final=False) + frame(Opcode.CONTINUATION, REAL[0][9:]),
    "a prefix": text(b"<iq xmlns='jabber:client' type='get'><x:y xmlns:x='urn:x'/></iq>"),
    "white space": text(b" "),
    "not well-formed": text(b"<message xmlns='jabber:client'><body></message>"),
    "no namespace": text(b"<message/>"),
    "not UTF-8": text(b"<message xmlns='jabber:client'>\xff</message>"),
    "binary": frame(Opcode.BINARY, REAL[0]),
    "unmasked": frame(Opcode.TEXT, REAL[0], mask=None),
    "too large": text(REAL[0].replace(b"Montague", b"x" * 21_000)),
    "the end": text(b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"),
    "a Close": frame(Opcode.CLOSE, b"\x03\xe8"),
}
UNCOMMON_ELEMENTS = {
    "an error of the stream": b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    b"</stream:error>",
    "a prefix": b"<message><body>stream:features</body><stream:x/></message>",
    "CDATA": b"<message><body><![CDATA[x]]></body></message>",
    "stream management enabled": b"<enabled xmlns='urn:xmpp:sm:3' id='1' resume='true'/>",
    "to be repaired": b"<message><x:y/></message>",
    "text": b"text",
    "a new stream": SERVER_HEADER + FEATURES,
    "the end": b"</stream:stream>",
    "deep": b"<message>" + b"<a>" * 20 + b"</a>" * 20 + b"</message>",
    "many attributes": b"<message" + b"".join(b" a%d=''" % number for number in range(18)) + b"/>",
}


@pytest.mark.parametrize("uncommon", UNCOMMON_FRAMES.values(), ids=UNCOMMON_FRAMES)
def test_a_browser_is_answered_alike_with_an_uncommon_frame_at_any_place(uncommon: bytes) -> None:
    frames = list(map(text, REAL))
    for place in range(len(frames) + 1):
        data = b"".join(frames[:place]) + uncommon + b"".join(frames[place:])
        compare(data, b"", [])
        compare(data, b"", [len(data) - 5, 20, len(b"".join(frames[:place])) + 1])


@pytest.mark.parametrize("uncommon", UNCOMMON_ELEMENTS.values(), ids=UNCOMMON_ELEMENTS)
def test_a_browser_gets_the_same_with_an_uncommon_element_at_any_place(uncommon: bytes) -> None:
    elements = [*REAL, *INHERITED]
    for place in range(0, len(elements) + 1, 3):
        data = b"".join(elements[:place]) + uncommon + b"".join(elements[place:])
        compare(b"", data, [])
        compare(b"", data, [len(data) - 5, 20, len(b"".join(elements[:place])) + 1])


def test_all_common_stanzas_are_passed_and_counted() -> None:
    got = compare(b"".join(map(text, REAL)), b"\n".join(INHERITED[:-2] + REAL[-2:]), [])
    assert got.to_server == b"".join(REAL)
    assert got.from_client == len(REAL) - 2
    assert got.to_client == 1 + len(REAL) - 2, "the answer to the binding, and these"


def test_every_split_point_gives_the_same() -> None:
    up = b"".join(map(text, REAL[-4:])) + frame(Opcode.PING, b"x") + text(REAL[0])
    down = b"\n".join(INHERITED[-4:-2]) + b"<message><body><![CDATA[x]]></body></message>" + REAL[0]
    whole = play(False, up, down, [])
    for place in range(1, max(len(up), len(down))):
        assert play(True, up, down, [place]) == whole


@pytest.mark.parametrize("framing", ["rfc7395", "legacy"])
@given(
    st.lists(mutated.map(text) | st.sampled_from([*UNCOMMON_FRAMES.values()]), max_size=5).map(b"".join),
    st.lists(mutated | st.sampled_from([*INHERITED, *UNCOMMON_ELEMENTS.values()]), max_size=5).map(b"".join),
    st.lists(st.integers(0, 5000), max_size=4),
)
def test_any_dialogue_is_the_same(framing: str, up: bytes, down: bytes, places: list[int]) -> None:
    compare(up, down, places, framing)


@pytest.mark.parametrize("size", [60_000, 65_400, 65_536, 70_000, 200_000])
@pytest.mark.parametrize("word", [b"", b"stream: "])
def test_long_stanzas_pass_alike(size: int, word: bytes) -> None:
    long = b"<message><body>%s%s</body></message>" % (word, b"x" * size)
    got = compare(b"", REAL[0] + long + b"<iq/>" + long + REAL[0], [])
    assert got.to_client == 1 + 5, "the answer to the binding, and these"


def test_a_trace_ends_the_chunks_and_lets_them_begin_again() -> None:
    """A trace wraps the machines' sources: meanwhile each stanza passes alone."""
    played = Played()
    assert played.session.stanza_bounds is not None

    class Wrapped:
        def __init__(self, inner: object) -> None:
            self.inner = inner
            self.stanza_bounds = None
            inner.stanza_bounds = None  # type: ignore[attr-defined]

    played.session.rewire(Wrapped)  # type: ignore[arg-type]
    assert played.session._parser.inner.stanza_bounds is None  # type: ignore[attr-defined]
    played.session.rewire(lambda wrapped: wrapped.inner)  # type: ignore[attr-defined]
    assert played.session.stanza_bounds is not None


def test_after_the_functions_are_turned_off_new_sessions_use_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the worker that replaces one that has crashed."""
    before = Played()
    monkeypatch.setattr(choice, "_choice", choice.choice())
    choice.turn_off("a test")
    after = Played()
    monkeypatch.undo()
    assert before.session.stanza_bounds is not None
    assert after.session.stanza_bounds is None
    for empty in choice.when_changed:
        empty()
