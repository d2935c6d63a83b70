"""Endings that the client causes: it ends its stream, is lost, or breaks RFC 6455 or XMPP."""

from __future__ import annotations

import pytest

from tests.end_to_end.endings.expected import assert_error, assert_header
from tests.support.edges import Pair, StartEdge
from tests.support.gateway import Gateway
from tests.support.processes import wait_until
from tests.support.wire import (
    BINARY,
    END,
    OPENINGS,
    SECONDS,
    Browser,
    XmppServer,
    frame,
    stays_unread,
    tcp_state,
    within,
)
from wsgw.mod_websocket import SWEEP_INTERVAL
from wsgw.relay.life import FLUSH_FOR_LOST

# -- the client ends its stream ------------------------------------------------------------------


@pytest.mark.rule("7395-3.6-close", "6455-7.1.1", "end-client")
def test_a_client_ends_its_stream_and_the_server_answers(session: Pair) -> None:
    session.browser.text(session.closing)
    assert session.server.read_until(END) == END
    session.server.send(b"<presence from='late@localhost'/>" + END)
    messages, code, _ = session.browser.until_close()
    assert b"late@localhost" in messages[0]
    assert messages[1:] == [session.closing]
    assert code == 1000
    assert session.server.read_to_end() == b""
    assert session.browser.read_to_end() == b""


@pytest.mark.rule("end-client")
@pytest.mark.slow
def test_a_client_ends_its_stream_and_the_server_does_not_answer(
    hasty: Gateway, xmpp_server: XmppServer, framing: str
) -> None:
    session = Pair(hasty, xmpp_server, framing)
    session.browser.text(session.closing)
    assert session.server.read_until(END) == END
    with within(4):
        messages, code, _ = session.browser.until_close()
    assert (messages, code) == ([session.closing], 1000)
    assert session.server.read_to_end() == b""


@pytest.mark.rule("bytes-vanish")
def test_a_client_ends_its_stream_and_closes_its_socket(session: Pair) -> None:
    session.browser.text(session.closing)
    session.browser.close_frame()
    session.browser.close()
    assert session.server.read_to_end() == END


# -- the browser is lost: FIN and no end tag, so that the session can be resumed -------------------


@pytest.mark.rule("7395-3.6-lost", "xep-0198-loss", "end-lost", "regression-rst")
def test_an_rst_of_the_browser_is_a_fin_to_the_server(session: Pair) -> None:
    session.browser.reset()
    assert session.server.read_to_end() == b""


@pytest.mark.rule("7395-3.6-lost", "xep-0198-loss", "end-lost")
def test_a_fin_of_the_browser_is_a_fin_to_the_server(session: Pair) -> None:
    session.browser.fin()
    assert session.server.read_to_end() == b""


@pytest.mark.rule("6455-5.5.1", "end-lost", "regression-fin")
def test_a_close_frame_without_close_is_a_fin_to_the_server(session: Pair) -> None:
    session.browser.close_frame(3001, b"bye")
    assert session.server.read_to_end() == b""
    assert session.browser.until_close()[1:] == (3001, "bye")
    assert session.browser.read_to_end() == b""


@pytest.mark.rule("6455-5.5.1")
def test_an_empty_close_frame_is_answered_with_1000(session: Pair) -> None:
    session.browser.send(frame(b"", 8))
    assert session.browser.until_close()[1] == 1000


@pytest.mark.rule("xep-0198-loss", "end-lost")
@pytest.mark.slow
def test_a_browser_without_pong_is_lost(start_edge: StartEdge, xmpp_server: XmppServer, framing: str) -> None:
    """By default a ping comes after half a minute."""
    edge = start_edge(ws_options="{websocket_ping_interval, 1}, {pong_timeout, 1}, ")
    assert Pair(edge, xmpp_server, framing).server.read_to_end(10) == b""


def test_a_stanza_before_an_rst_is_delivered(session: Pair) -> None:
    stanza = b"<message xmlns='jabber:client' id='last'/>"
    session.browser.text(stanza)
    assert session.server.read_until(b"/>") == stanza
    session.browser.text(stanza)
    session.browser.reset()
    assert session.server.read_to_end() in (stanza, b"")  # an RST may overtake the bytes before it


@pytest.mark.rule("end-lost")
@pytest.mark.slow
@pytest.mark.parametrize("vanish", ["reset", "fin"])
def test_a_browser_lost_while_it_is_paused_is_noticed(
    start_edge: StartEdge, framing: str, vanish: str
) -> None:
    """The server does not read, so the browser is paused; wsgw notices its loss nevertheless."""
    server = XmppServer(receive_buffer=4096)
    options = "{send_timeout, 60}, {send_buffer_high, 4096}, "
    gateway = start_edge(port=server.port, ws_options=options)
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
    server.close()


def test_the_loss_of_a_paused_browser_is_noticed_within_a_second() -> None:
    """The next sweep finds it; the bytes that the browser had sent are flushed first."""
    assert SWEEP_INTERVAL + FLUSH_FOR_LOST < 1


# -- the browser breaks RFC 6455 -----------------------------------------------------------------


@pytest.mark.rule("7395-3.2", "6455-5.1", "6455-5.5", "end-6455")
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
def test_a_violation_of_rfc_6455_ends_the_session(session: Pair, broken: bytes, code: int) -> None:
    session.browser.send(broken)
    messages, got, _ = session.browser.until_close()
    assert (messages, got) == ([], code)
    assert session.server.read_to_end(1.0) == b""
    assert session.browser.read_to_end() == b""


# -- the client breaks XMPP: the session ends, at the server too -----------------------------------


@pytest.mark.rule(
    "6455-8.1", "6120-4.9.3", "xep-0198-violation", "end-utf8", "end-policy", "end-xml", "end-reason"
)
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
def test_a_violation_of_xmpp_ends_the_session(
    session: Pair, broken: bytes, condition: str, code: int
) -> None:
    session.browser.send(broken)
    messages, got, reason = session.browser.until_close()
    assert_error(session.framing, messages, condition)
    assert (got, reason) == (code, condition)
    farewell = session.server.read_to_end(2.0)
    assert farewell.startswith(b"<stream:error><" + condition.encode()), farewell
    assert farewell.endswith(b"</stream:error>" + END)


@pytest.mark.rule("7395-3.3.2")
@pytest.mark.parametrize("name", ["open", "close"])
def test_a_wrong_framing_namespace_ends_the_session(
    edge: Gateway, xmpp_server: XmppServer, name: str
) -> None:
    session = Pair(edge, xmpp_server, "rfc7395")
    session.browser.text(f"<{name} xmlns='urn:wrong'/>".encode())
    messages, code, reason = session.browser.until_close()
    assert_error("rfc7395", messages, "invalid-namespace")
    assert (code, reason) == (1008, "invalid-namespace")
    assert session.server.read_to_end().endswith(END)


@pytest.mark.rule("end-policy")
@pytest.mark.slow
def test_a_client_without_a_login_in_time_is_ended(
    hasty: Gateway, xmpp_server: XmppServer, framing: str
) -> None:
    browser = Browser(hasty.ws_port)
    browser.text(OPENINGS[framing])
    server = xmpp_server.accept_stream(b"<stream:features/>")
    assert_header(framing, browser.message())
    assert browser.message().startswith(b"<stream:features")
    messages, code, reason = browser.until_close()
    assert_error(framing, messages, "policy-violation")
    assert (code, reason) == (1008, "policy-violation")
    assert server.read_to_end().endswith(b"</stream:error>" + END)
