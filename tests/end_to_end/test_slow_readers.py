"""Browsers that read slowly, or later: only those that read nothing are cut, and pings are answered."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator

import pytest

from tests.support.edges import Pair, StartEdge
from tests.support.gateway import Gateway
from tests.support.wire import CLOSE, END, OPENINGS, PING, PONG, TEXT, Browser, XmppServer, frame

MIB = 1024 * 1024
#: The kernels between gateway and browser hold less than half of it.
LARGE = b"<message><body>%s</body></message>" % (b"x" * 7 * MIB)
#: The stanza is above ``send_buffer_hard``, which does not count the bytes that the server sent.
BUFFERS = "{send_buffer_high, 4096}, {send_buffer_hard, 4096}, "
CALM = BUFFERS + "{websocket_ping_interval, infinity}, {close_timeout, 60}, "
#: All shorter than the time in which ``slowly`` reads the stanza.
HASTY = BUFFERS + (
    "{send_timeout, 3}, {close_timeout, 3}, {websocket_ping_interval, 1}, {pong_timeout, 3}, "
    "{websocket_timeout, 4}, "
)
#: A slow reader's pieces, in bytes, and the time between two, in seconds: 1.3 MB a second.
PIECE, PAUSE = 128 * 1024, 0.1


@pytest.fixture(params=["rfc7395", "legacy"])
def framing(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Unread(Pair):
    """A session whose browser has not read a stanza that exceeds the kernels' buffers."""

    def __init__(self, gateway: Gateway, server: XmppServer, framing: str) -> None:
        self.framing = framing
        self.browser = Browser(gateway.ws_port, receive_buffer=65536)
        self.browser.text(OPENINGS[framing])
        self.server = server.accept_stream()
        self.browser.message()
        self.browser.message()
        self.server.send(LARGE)
        self.browser.buffer = self.browser.read(1) + self.browser.buffer  # the rest is queued

    def processed(self) -> None:
        """Returns when the gateway has processed the bytes that the browser sent before."""
        stanza = b"<presence xmlns='jabber:client'/>"
        self.browser.text(stanza)
        assert self.server.read(len(stanza)) == stanza

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """The messages after the stanza, up to the server's answer to ``processed``."""
        opcode, payload = self.browser.frame()
        assert opcode == TEXT
        assert len(payload) > 7 * MIB
        self.server.send(b"<presence id='last'/>")
        while b"id='last'" not in (found := self.browser.frame())[1]:
            yield found


@pytest.fixture
def unread(start_edge: StartEdge, xmpp_server: XmppServer, framing: str) -> Iterator[Unread]:
    session = Unread(start_edge(ws_options=CALM), xmpp_server, framing)
    yield session
    session.close()


def test_small_answers_do_not_cut_a_browser_that_has_yet_to_read(unread: Unread) -> None:
    unread.browser.send(frame(b"?", PING))
    if unread.framing == "legacy":
        unread.browser.text(b" ")
    unread.processed()
    assert list(unread.frames()) == [(PONG, b"?"), (TEXT, b" ")][: 1 + (unread.framing == "legacy")]


@pytest.mark.rule("6455-5.5.3")
def test_of_the_pings_behind_an_unsent_pong_the_latest_is_answered(unread: Unread) -> None:
    for number in range(50):
        unread.browser.send(frame(b"%d" % number, PING))
        if not number % 10:
            unread.processed()
    unread.browser.send(b"".join(frame(b"%d" % number, PING) for number in range(50, 100)))
    unread.processed()
    assert list(unread.frames()) == [(PONG, b"0"), (PONG, b"99")]


def test_of_the_pings_of_one_segment_the_latest_is_answered(unread: Unread) -> None:
    unread.browser.send(b"".join(frame(b"%d" % number, PING) for number in range(300)))
    unread.processed()
    assert list(unread.frames()) == [(PONG, b"0"), (PONG, b"299")]


@pytest.mark.parametrize("framing", ["legacy"], indirect=True)
def test_of_the_blanks_behind_an_unsent_blank_one_is_answered(unread: Unread) -> None:
    for _ in range(50):
        unread.browser.text(b" ")
    unread.processed()
    assert list(unread.frames()) == [(TEXT, b" ")] * 2


def test_the_server_stays_paused(unread: Unread) -> None:
    """The answers to pings do not resume a server whose browser does not read."""
    unread.browser.send(frame(b"?", PING))
    unread.processed()
    unread.server.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for _ in range(4):
            unread.server.send(LARGE)


def test_every_ping_is_answered_while_the_answers_are_read(
    start_edge: StartEdge, xmpp_server: XmppServer
) -> None:
    session = Pair(start_edge(ws_options=CALM), xmpp_server)
    session.browser.send(b"".join(frame(b"%d" % number, PING) for number in range(2000)))
    assert [session.browser.frame() for _ in range(2000)] == [(PONG, b"%d" % n) for n in range(2000)]
    session.close()


def test_a_browser_may_write_before_it_reads(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    """More pings than the kernels hold answers for: wsgw reads them, and answers the last one."""
    session = Pair(start_edge(ws_options=CALM), xmpp_server)
    pings = frame(b"x" * 125, PING) * 1000
    for _ in range(100):
        session.browser.send(pings)
    session.browser.send(frame(b"last", PING))
    count = 0
    while (answer := session.browser.frame()) != (PONG, b"last"):
        assert answer == (PONG, b"x" * 125)
        count += 1
    assert count < 100_000
    session.goes_on()
    session.close()


def test_an_error_comes_after_the_unread_bytes(unread: Unread) -> None:
    unread.browser.text(b"<x>")
    (large, error, closing), code, _ = unread.browser.until_close()
    assert len(large) > 7 * MIB
    assert b"<not-well-formed " in error
    assert (closing, code) == (unread.closing, 1008)
    assert unread.server.read_to_end().endswith(END)


@pytest.mark.slow
def test_the_notice_of_a_drain_comes_after_the_unread_bytes(
    start_edge: StartEdge, xmpp_server: XmppServer, framing: str
) -> None:
    gateway = start_edge(ws_options=CALM, fresh=True)
    unread = Unread(gateway, xmpp_server, framing)
    gateway.child.signal(signal.SIGTERM)
    assert unread.server.read_to_end() == b""
    (large, error, closing), code, _ = unread.browser.until_close()
    assert len(large) > 7 * MIB
    assert b"<system-shutdown " in error
    assert (closing, code) == (unread.closing, 1012)


# -- slow readers ---------------------------------------------------------------------------------


def slowly(session: Unread) -> None:
    """Read the stanza without a pause."""
    browser = session.browser
    while len(browser.buffer) < len(LARGE):
        size = min(len(browser.buffer) + PIECE, len(LARGE))
        while len(browser.buffer) < size:
            piece = browser.socket.recv(PIECE)
            assert piece, "cut"
            browser.buffer += piece
        time.sleep(PAUSE)


@pytest.mark.slow
def test_a_slow_reader_stays(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    """wsgw's ping is behind the stanza and is answered late; the bytes that the browser reads show life."""
    session = Unread(start_edge(ws_options=HASTY), xmpp_server, "rfc7395")
    slowly(session)
    opcode, payload = session.browser.frame()
    assert (opcode, len(payload) > 7 * MIB) == (TEXT, True)
    assert session.browser.frame() == (PING, b"")
    session.browser.send(frame(b"", PONG))
    session.processed()
    session.close()


@pytest.mark.slow
def test_a_slow_reader_gets_the_error_that_ends_its_session(
    start_edge: StartEdge, xmpp_server: XmppServer
) -> None:
    """The time to answer wsgw's Close begins when the browser can read it."""
    session = Unread(start_edge(ws_options=HASTY), xmpp_server, "rfc7395")
    session.server.send(END)
    slowly(session)
    with contextlib.suppress(OSError):
        messages, code, _ = session.browser.until_close()
    assert messages[1:] == [session.closing]
    assert code == 1000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (frame((1000).to_bytes(2, "big"), CLOSE), 1000),
        (frame(b"x" * 300_000), 1009),
    ],
    ids=["a Close", "too much"],
)
def test_a_slow_reader_gets_the_answer_to_its_last_frame(
    start_edge: StartEdge, xmpp_server: XmppServer, ending: bytes, code: int
) -> None:
    """Later frames are not read; the messages before and the Close are still delivered."""
    session = Unread(start_edge(ws_options=HASTY), xmpp_server, "rfc7395")
    session.browser.send(ending)
    session.server.read_to_end()
    slowly(session)
    with contextlib.suppress(OSError):
        messages, closed, _ = session.browser.until_close()
    assert len(messages[0]) > 7 * MIB
    assert closed == code
    session.close()


# -- while the server is being connected to ----------------------------------------------------------


@pytest.fixture
def connecting(start_edge: StartEdge, xmpp_server: XmppServer, framing: str) -> Iterator[Browser]:
    """A session whose server has accepted the connection and is silent."""
    upstream = f'{{upstream, "starttls://127.0.0.1:{xmpp_server.port}"}}, {{connect_timeout, 60}}, '
    browser = Browser(start_edge(ws_options=CALM + upstream).ws_port)
    browser.text(OPENINGS[framing])
    server = xmpp_server.accept()
    server.read_until(b"version='1.0'>")
    yield browser
    server.close()
    assert browser.until_close()[1] == 1011


def test_pings_are_answered_while_the_server_is_connected_to(connecting: Browser) -> None:
    for payload in (b"1", b"2"):
        connecting.send(frame(payload, PING))
        assert connecting.frame() == (PONG, payload)


def test_pings_before_the_first_stanza_are_answered_too(connecting: Browser) -> None:
    connecting.send(frame(b"1", PING) + frame(b"<presence xmlns='jabber:client'/>") + frame(b"2", PING))
    assert connecting.frame() == (PONG, b"1")


def test_a_browser_that_leaves_during_the_attempt_ends_it(
    start_edge: StartEdge, xmpp_server: XmppServer
) -> None:
    upstream = f'{{upstream, "starttls://127.0.0.1:{xmpp_server.port}"}}, {{connect_timeout, 60}}, '
    browser = Browser(start_edge(ws_options=CALM + upstream).ws_port)
    browser.text(OPENINGS["rfc7395"])
    server = xmpp_server.accept()
    server.read_until(b"version='1.0'>")
    browser.close_frame()
    assert browser.frame() == (CLOSE, (1000).to_bytes(2, "big"))
    assert server.read_to_end() == b""
