"""Endings: who hears what. The table of causes, in both framings, through a real gateway process.

One side is a raw browser, the other a scripted XMPP server, so that every byte and FIN is seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificate
from tests.support.edges import Pair, StartEdge
from tests.support.gateway import Gateway
from tests.support.processes import ReservedPort, wait_until
from tests.support.wire import (
    BINARY,
    CLOSINGS,
    END,
    OPENINGS,
    SECONDS,
    SERVER_HEADER,
    Browser,
    Connection,
    XmppServer,
    frame,
    stays_unread,
    tcp_state,
    within,
)
from wsgw.mod_websocket import SWEEP_INTERVAL
from wsgw.relay.life import FLUSH_FOR_LOST

FRAMINGS = ("rfc7395", "legacy")
#: No deadline ends a session within a test, however busy the machine: what the test does is what ends it.
OPTIONS = "{websocket_ping_interval, infinity}, {close_timeout, 60}, "
#: Deadlines for a test to see; all are far below their defaults, which the deadline of a read tells apart.
HASTY = "{websocket_ping_interval, infinity}, {open_timeout, 1}, {auth_timeout, 2}, {close_timeout, 1}, "


@pytest.fixture(scope="module")
def edge(start_edge: StartEdge) -> Gateway:
    return start_edge(ws_options=OPTIONS)


@pytest.fixture(scope="module")
def hasty(start_edge: StartEdge) -> Gateway:
    return start_edge(ws_options=HASTY)


@pytest.fixture(params=FRAMINGS)
def framing(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def session(edge: Gateway, xmpp_server: XmppServer, framing: str) -> Iterator[Pair]:
    session = Pair(edge, xmpp_server, framing)
    yield session
    session.close()


def error(framing: str, condition: str) -> tuple[bytes, bytes]:
    """How a stream error of the gateway begins and what it holds, for the browser."""
    declaration = b' xmlns:stream="http://etherx.jabber.org/streams"' if framing == "rfc7395" else b""
    start = b"<stream:error" + declaration + b"><" + condition.encode()
    return start, b"xmlns='urn:ietf:params:xml:ns:xmpp-streams'"


def assert_error(framing: str, messages: list[bytes], condition: str) -> None:
    """The last two messages: the error, and what ends the stream."""
    start, namespace = error(framing, condition)
    assert messages[-2].startswith(start), messages
    assert namespace in messages[-2]
    assert messages[-1] == CLOSINGS[framing]


def assert_header(framing: str, message: bytes) -> None:
    starts = {
        "rfc7395": b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'",
        "legacy": b"<stream:stream ",
    }
    assert message.startswith(starts[framing]), message
    assert b"version='1.0'" in message


# -- the client ends its stream ------------------------------------------------------------------


def test_client_closes_and_the_server_answers(session: Pair) -> None:
    session.browser.text(session.closing)
    assert session.server.read_until(END) == END
    session.server.send(b"<presence from='late@localhost'/>" + END)
    messages, code, _ = session.browser.until_close()
    assert b"late@localhost" in messages[0]
    assert messages[1:] == [session.closing]
    assert code == 1000
    assert session.server.read_to_end() == b""
    assert session.browser.read_to_end() == b""


def test_client_closes_and_the_server_does_not_answer(
    hasty: Gateway, xmpp_server: XmppServer, framing: str
) -> None:
    session = Pair(hasty, xmpp_server, framing)
    session.browser.text(session.closing)
    assert session.server.read_until(END) == END
    with within(4):
        messages, code, _ = session.browser.until_close()
    assert (messages, code) == ([session.closing], 1000)
    assert session.server.read_to_end() == b""


def test_client_closes_and_its_socket_too(session: Pair) -> None:
    session.browser.text(session.closing)
    session.browser.close_frame()
    session.browser.close()
    assert session.server.read_to_end() == END


# -- the browser is lost: FIN and no end tag, so that the session can be resumed -------------------


def test_rst(session: Pair) -> None:
    session.browser.reset()
    assert session.server.read_to_end() == b""


def test_fin(session: Pair) -> None:
    session.browser.fin()
    assert session.server.read_to_end() == b""


def test_close_frame_without_close(session: Pair) -> None:
    session.browser.close_frame(3001, b"bye")
    assert session.server.read_to_end() == b""
    assert session.browser.until_close()[1:] == (3001, "bye")
    assert session.browser.read_to_end() == b""


def test_empty_close_frame_is_answered_with_1000(session: Pair) -> None:
    session.browser.send(frame(b"", 8))
    assert session.browser.until_close()[1] == 1000


def test_no_pong(start_edge: StartEdge, xmpp_server: XmppServer, framing: str) -> None:
    """By default a ping comes after half a minute."""
    edge = start_edge(ws_options="{websocket_ping_interval, 1}, {pong_timeout, 1}, ")
    assert Pair(edge, xmpp_server, framing).server.read_to_end(10) == b""


def test_rst_after_a_stanza_loses_nothing(session: Pair) -> None:
    stanza = b"<message xmlns='jabber:client' id='last'/>"
    session.browser.text(stanza)
    assert session.server.read_until(b"/>") == stanza
    session.browser.text(stanza)
    session.browser.reset()
    assert session.server.read_to_end() in (stanza, b"")  # an RST may overtake what it follows


@pytest.mark.parametrize("vanish", ["reset", "fin"])
def test_browser_lost_while_it_is_not_read(
    edge: Gateway, certificate: Certificate, tmp_path: Path, framing: str, vanish: str
) -> None:
    """The server does not read, so the browser is paused; its loss is seen all the same."""
    server = XmppServer(receive_buffer=4096)
    options = "{send_timeout, 60}, {send_buffer_high, 4096}, "
    gateway = Gateway(tmp_path, certificate, server.port, ws_options=options).start()
    try:
        session = Pair(gateway, server, framing)
        stanza = b"<message xmlns='jabber:client'><body>%s</body></message>" % (b"x" * 60_000)
        browser_port = session.browser.socket.getsockname()[1]
        while not stays_unread(gateway.ws_port, browser_port):
            session.browser.text(stanza)
        if vanish == "reset":
            session.browser.reset()
        else:
            session.browser.close()
        local_port = session.server.socket.getpeername()[1]
        wait_until(lambda: tcp_state(local_port, server.port) != "ESTABLISHED", SECONDS, "FIN to the server")
        assert END not in session.server.read_to_end(30)
    finally:
        assert gateway.stop() == 0
        gateway.close()
        server.close()


def test_a_paused_browsers_loss_is_told_within_a_second() -> None:
    """The next sweep sees it, and what it had sent is flushed first."""
    assert SWEEP_INTERVAL + FLUSH_FOR_LOST < 1


# -- the browser breaks RFC 6455 -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (frame(b"<presence/>", masked=False), 1002),
        (frame(b"<presence/>", rsv=0x40), 1002),
        (frame(b"<presence/>", 3), 1002),
        (frame(b"x" * 126, 9), 1002),
        (frame(b"", 9, fin=False), 1002),
        (frame(b"rest", 0), 1002),
        (frame(b"x", 8), 1002),
        (frame((1005).to_bytes(2, "big"), 8), 1002),
        (frame(b"\x03\xe8\xff", 8), 1007),
        (frame(b"<presence/>", BINARY), 1003),
    ],
    ids=[
        "unmasked",
        "rsv",
        "opcode 3",
        "long ping",
        "fragmented ping",
        "lone continuation",
        "close of one byte",
        "close 1005",
        "close reason not UTF-8",
        "binary",
    ],
)
def test_websocket_violation(session: Pair, broken: bytes, code: int) -> None:
    session.browser.send(broken)
    messages, got, _ = session.browser.until_close()
    assert (messages, got) == ([], code)
    assert session.server.read_to_end(1.0) == b""
    assert session.browser.read_to_end() == b""


# -- the client breaks XMPP: the session ends, at the server too -----------------------------------


@pytest.mark.parametrize(
    ("broken", "condition", "code"),
    [
        (frame(b"<message>\xff</message>"), "unsupported-encoding", 1007),
        (frame(b"<message><body>%s</body></message>" % (b"x" * 65536)), "policy-violation", 1009),
        (frame(b"<message>"), "not-well-formed", 1008),
        (frame(b"<presence/><presence/>"), "not-well-formed", 1008),
        (frame(b"<a>&lol;</a>"), "restricted-xml", 1008),
        (frame(b"<!DOCTYPE a><a/>"), "restricted-xml", 1008),
        (frame(b"<a><!-- x --></a>"), "restricted-xml", 1008),
        (frame(b"<?xml version='1.0' encoding='utf-16'?><a/>"), "unsupported-encoding", 1007),
    ],
    ids=["utf-8", "oversize", "unclosed", "two roots", "entity", "doctype", "comment", "encoding"],
)
def test_xmpp_violation(session: Pair, broken: bytes, condition: str, code: int) -> None:
    session.browser.send(broken)
    messages, got, reason = session.browser.until_close()
    assert_error(session.framing, messages, condition)
    assert (got, reason) == (code, condition)
    farewell = session.server.read_to_end(2.0)
    assert farewell.startswith(b"<stream:error><" + condition.encode()), farewell
    assert farewell.endswith(b"</stream:error>" + END)


@pytest.mark.parametrize("name", ["open", "close"])
def test_wrong_framing_namespace(edge: Gateway, xmpp_server: XmppServer, name: str) -> None:
    session = Pair(edge, xmpp_server, "rfc7395")
    session.browser.text(f"<{name} xmlns='urn:wrong'/>".encode())
    messages, code, reason = session.browser.until_close()
    assert_error("rfc7395", messages, "invalid-namespace")
    assert (code, reason) == (1008, "invalid-namespace")
    assert session.server.read_to_end().endswith(END)


def test_no_login_in_time(hasty: Gateway, xmpp_server: XmppServer, framing: str) -> None:
    browser = Browser(hasty.ws_port)
    browser.text(OPENINGS[framing])
    server = xmpp_server.accept_stream(b"<stream:features/>")
    assert_header(framing, browser.message())
    assert browser.message().startswith(b"<stream:features")
    messages, code, reason = browser.until_close()
    assert_error(framing, messages, "policy-violation")
    assert (code, reason) == (1008, "policy-violation")
    assert server.read_to_end().endswith(b"</stream:error>" + END)


# -- the server ends -------------------------------------------------------------------------------


def test_server_error(session: Pair) -> None:
    conflict = b"<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    session.server.send(b"<stream:error>" + conflict + b"</stream:error>" + END)
    messages, code, reason = session.browser.until_close()
    declaration = b' xmlns:stream="http://etherx.jabber.org/streams"' if session.framing == "rfc7395" else b""
    assert messages == [
        b"<stream:error" + declaration + b">" + conflict + b"</stream:error>",
        session.closing,
    ]
    assert (code, reason) == (1000, "conflict")
    assert session.server.read_to_end() == END


def test_server_end(session: Pair) -> None:
    session.server.send(END)
    assert session.browser.until_close() == ([session.closing], 1000, "")
    assert session.server.read_to_end() == END


@pytest.mark.parametrize("vanish", ["reset", "fin"])
def test_server_lost(session: Pair, vanish: str) -> None:
    if vanish == "reset":
        session.server.reset()
    else:
        session.server.fin()
    messages, code, reason = session.browser.until_close()
    assert_error(session.framing, messages, "remote-connection-failed")
    assert (code, reason) == (1011, "remote-connection-failed")


def test_server_lost_after_last_words(session: Pair) -> None:
    """What the server said before it went is delivered, also when a write to it has failed meanwhile."""
    session.server.send(b"<message id='last'/>")
    session.server.reset()
    session.browser.text(b"<presence xmlns='jabber:client'/>")
    messages, code, _ = session.browser.until_close()
    assert b"id='last'" in messages[0]
    assert code == 1011


def test_server_is_no_xmpp_server(edge: Gateway, xmpp_server: XmppServer, framing: str) -> None:
    browser = Browser(edge.ws_port)
    browser.text(OPENINGS[framing])
    server = xmpp_server.accept()
    server.read_until(b"version='1.0'>")
    server.send(b"SSH-2.0-OpenSSH_9.2\r\n")
    messages, code, _ = browser.until_close()
    assert_header(framing, messages[0])
    assert_error(framing, messages, "remote-connection-failed")
    assert code == 1011


def test_server_down(certificate: Certificate, tmp_path: Path, framing: str) -> None:
    nobody = ReservedPort()
    options = "{connect_timeout, 60}, "
    gateway = Gateway(tmp_path, certificate, nobody.number, ws_options=options).start()
    try:
        browser = Browser(gateway.ws_port)
        browser.text(OPENINGS[framing])
        messages, code, reason = browser.until_close()
        assert len(messages) == 3
        assert_header(framing, messages[0])
        assert_error(framing, messages, "remote-connection-failed")
        assert (code, reason) == (1011, "remote-connection-failed")
    finally:
        assert gateway.stop() == 0
        gateway.close()
        nobody.release()


def test_server_sends_error_before_its_header(edge: Gateway, xmpp_server: XmppServer) -> None:
    """The gateway's own header goes first, whatever comes (RFC 6120 section 4.9.1.2)."""
    browser = Browser(edge.ws_port)
    browser.text(OPENINGS["rfc7395"])
    server = xmpp_server.accept()
    server.read_until(b"version='1.0'>")
    server.close()
    messages, code, _ = browser.until_close()
    assert_header("rfc7395", messages[0])
    assert code == 1011


# -- the gateway ends --------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["elsewhere.example", "", "local host", "x" * 2000])
def test_host_not_served(edge: Gateway, framing: str, to: str) -> None:
    browser = Browser(edge.ws_port)
    browser.text(OPENINGS[framing].replace(b"to='localhost'", f"to='{to}'".encode()))
    messages, code, reason = browser.until_close()
    assert len(messages) == 3
    assert_header(framing, messages[0])
    assert_error(framing, messages, "host-unknown")
    assert (code, reason) == (1008, "host-unknown")


@pytest.mark.parametrize(
    ("first", "condition"),
    [
        (b"<presence xmlns='jabber:client'/>", "bad-format"),
        (b"<open xmlns='urn:wrong' to='localhost'/>", "invalid-namespace"),
        (b"<open to='localhost'/>", "invalid-namespace"),
        (b"<stream:stream xmlns:stream='urn:wrong' to='localhost'>", "invalid-namespace"),
        (b"hello", "not-well-formed"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><open/>", "restricted-xml"),
    ],
)
def test_first_message_opens_no_stream(edge: Gateway, first: bytes, condition: str) -> None:
    framing = "legacy" if b"stream:stream" in first else "rfc7395"
    browser = Browser(edge.ws_port)
    browser.text(first)
    messages, code, reason = browser.until_close()
    assert len(messages) == 3
    assert_header(framing, messages[0])
    assert_error(framing, messages, condition)
    assert (code, reason) == (1008, condition)


def test_no_stream_in_time(hasty: Gateway) -> None:
    browser = Browser(hasty.ws_port)
    messages, code, reason = browser.until_close()
    assert_header("rfc7395", messages[0])
    assert_error("rfc7395", messages, "connection-timeout")
    assert (code, reason) == (1000, "connection-timeout")


def test_idle(certificate: Certificate, tmp_path: Path, xmpp_server: XmppServer, framing: str) -> None:
    options = "{websocket_timeout, 2}, {websocket_ping_interval, infinity}, "
    gateway = Gateway(tmp_path, certificate, xmpp_server.port, ws_options=options).start()
    try:
        session = Pair(gateway, xmpp_server, framing)
        messages, code, reason = session.browser.until_close()
        assert_error(framing, messages, "connection-timeout")
        assert (code, reason) == (1000, "connection-timeout")
        assert session.server.read_to_end() == b""
    finally:
        assert gateway.stop() == 0
        gateway.close()


def test_pongs_count_against_idleness(start_edge: StartEdge, xmpp_server: XmppServer, framing: str) -> None:
    """Longer than ``websocket_timeout``: a client that answers pings stays."""
    edge = start_edge(ws_options="{websocket_ping_interval, 1}, {websocket_timeout, 3}, ")
    session = Pair(edge, xmpp_server, framing)
    for _ in range(4):
        opcode, payload = session.browser.frame()
        assert opcode == 9
        session.browser.send(frame(payload, 10))
    session.browser.text(b"<presence xmlns='jabber:client'/>")
    assert session.server.read_until(b"/>")


def test_drain(certificate: Certificate, tmp_path: Path, xmpp_server: XmppServer, framing: str) -> None:
    gateway = Gateway(tmp_path, certificate, xmpp_server.port).start()
    try:
        session = Pair(gateway, xmpp_server, framing)
        gateway.child.signal(15)
        messages, code, reason = session.browser.until_close()
        assert_error(framing, messages, "system-shutdown")
        assert (code, reason) == (1012, "system-shutdown")
        assert session.server.read_to_end() == b""
        session.browser.close()
        assert gateway.child.wait(5) == 0
    finally:
        gateway.close()


def test_browser_that_never_reads_is_cut(
    certificate: Certificate, tmp_path: Path, xmpp_server: XmppServer, framing: str
) -> None:
    options = "{send_timeout, 1}, {websocket_ping_interval, infinity}, "
    gateway = Gateway(tmp_path, certificate, xmpp_server.port, ws_options=options).start()
    try:
        browser = Browser(gateway.ws_port, receive_buffer=4096)
        browser.text(OPENINGS[framing])
        server = xmpp_server.accept_stream()
        with within(10):
            assert_sending_fails(server, b"<message><body>%s</body></message>" % (b"x" * 10_000))
    finally:
        assert gateway.stop() == 0
        gateway.close()


def assert_sending_fails(server: Connection, stanza: bytes) -> None:
    """The gateway stops reading, cuts its browser, and then ends the server's connection."""
    with pytest.raises(OSError, match=r"reset|Broken"):
        while True:
            server.send(stanza)


def test_close_unanswered(hasty: Gateway, xmpp_server: XmppServer, framing: str) -> None:
    """``close_timeout``: a browser that does not answer our Close is not waited for."""
    session = Pair(hasty, xmpp_server, framing)
    session.server.send(END)
    assert session.browser.message() == session.closing
    assert session.browser.frame()[0] == 8
    with within(4):
        assert session.browser.read_to_end() == b""


def test_other_sessions_go_on(edge: Gateway, xmpp_server: XmppServer) -> None:
    """Bad input costs only its sender."""
    good = Pair(edge, xmpp_server, "rfc7395")
    bad = Pair(edge, xmpp_server, "rfc7395")
    bad.browser.text(b"<a>&lol;</a>")
    assert bad.browser.until_close()[1] == 1008
    good.browser.text(b"<presence xmlns='jabber:client'/>")
    assert good.server.read_until(b"/>") == b"<presence xmlns='jabber:client'/>"
    good.server.send(b"<message><body>still here</body></message>")
    assert good.browser.message() == b"<message xmlns='jabber:client'><body>still here</body></message>"


def test_header_reaches_the_browser_whole(session: Pair) -> None:
    if session.framing == "legacy":
        assert session.header == SERVER_HEADER.partition(b"?>")[2]
    else:
        assert session.header == (
            b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' id='s1' version='1.0' xml:lang='en'"
            b" from='localhost'/>"
        )
