"""Endings that the gateway causes, in both framings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.endings.expected import assert_error, assert_header
from tests.support.certificates import Certificate
from tests.support.edges import Pair, StartEdge
from tests.support.gateway import Gateway
from tests.support.wire import END, OPENINGS, SERVER_HEADER, Browser, Connection, XmppServer, frame, within


@pytest.mark.rule("7395-3.5", "end-host", "regression-host")
@pytest.mark.parametrize("to", ["elsewhere.example", "", "local host", "x" * 2000])
def test_a_host_that_is_not_served_is_host_unknown(edge: Gateway, framing: str, to: str) -> None:
    browser = Browser(edge.ws_port)
    browser.text(OPENINGS[framing].replace(b"to='localhost'", f"to='{to}'".encode()))
    messages, code, reason = browser.until_close()
    assert len(messages) == 3
    assert_header(framing, messages[0])
    assert_error(framing, messages, "host-unknown")
    assert (code, reason) == (1008, "host-unknown")


@pytest.mark.rule("7395-3.3.2", "7395-3.4-first", "regression-first")
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
def test_a_first_message_that_opens_no_stream_is_an_error(
    edge: Gateway, first: bytes, condition: str
) -> None:
    framing = "legacy" if b"stream:stream" in first else "rfc7395"
    browser = Browser(edge.ws_port)
    browser.text(first)
    messages, code, reason = browser.until_close()
    assert len(messages) == 3
    assert_header(framing, messages[0])
    assert_error(framing, messages, condition)
    assert (code, reason) == (1008, condition)


@pytest.mark.slow
def test_a_client_without_a_stream_in_time_is_ended(hasty: Gateway) -> None:
    browser = Browser(hasty.ws_port)
    messages, code, reason = browser.until_close()
    assert_header("rfc7395", messages[0])
    assert_error("rfc7395", messages, "connection-timeout")
    assert (code, reason) == (1000, "connection-timeout")


@pytest.mark.rule("end-idle", "fault-15")
@pytest.mark.slow
def test_an_idle_session_is_ended(start_edge: StartEdge, xmpp_server: XmppServer, framing: str) -> None:
    options = "{websocket_timeout, 1}, {websocket_ping_interval, infinity}, "
    gateway = start_edge(ws_options=options)
    session = Pair(gateway, xmpp_server, framing)
    messages, code, reason = session.browser.until_close()
    assert_error(framing, messages, "connection-timeout")
    assert (code, reason) == (1000, "connection-timeout")
    assert session.server.read_to_end() == b""


@pytest.mark.rule("end-idle")
@pytest.mark.slow
def test_pongs_count_against_idleness(start_edge: StartEdge, xmpp_server: XmppServer, framing: str) -> None:
    """A client that answers pings stays longer than ``websocket_timeout``."""
    edge = start_edge(ws_options="{websocket_ping_interval, 1}, {websocket_timeout, 3}, ")
    session = Pair(edge, xmpp_server, framing)
    for _ in range(4):
        opcode, payload = session.browser.frame()
        assert opcode == 9
        session.browser.send(frame(payload, 10))
    session.browser.text(b"<presence xmlns='jabber:client'/>")
    assert session.server.read_until(b"/>")


@pytest.mark.rule("xep-0198-loss", "end-drain")
@pytest.mark.slow
def test_a_drain_ends_the_session(
    certificate: Certificate, tmp_path: Path, xmpp_server: XmppServer, framing: str
) -> None:
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


@pytest.mark.slow
def test_a_browser_that_never_reads_is_cut(
    start_edge: StartEdge, xmpp_server: XmppServer, framing: str
) -> None:
    options = "{send_timeout, 1}, {websocket_ping_interval, infinity}, "
    gateway = start_edge(ws_options=options)
    browser = Browser(gateway.ws_port, receive_buffer=4096)
    browser.text(OPENINGS[framing])
    server = xmpp_server.accept_stream()
    with within(10):
        assert_sending_fails(server, b"<message><body>%s</body></message>" % (b"x" * 10_000))


def assert_sending_fails(server: Connection, stanza: bytes) -> None:
    """The gateway stops reading, cuts its browser, and then ends the server's connection."""
    with pytest.raises(OSError, match=r"reset|Broken"):
        while True:
            server.send(stanza)


@pytest.mark.slow
def test_an_unanswered_close_ends_in_time(hasty: Gateway, xmpp_server: XmppServer, framing: str) -> None:
    """After ``close_timeout`` wsgw does not wait longer for the browser's Close."""
    session = Pair(hasty, xmpp_server, framing)
    session.server.send(END)
    assert session.browser.message() == session.closing
    assert session.browser.frame()[0] == 8
    with within(4):
        assert session.browser.read_to_end() == b""


def test_other_sessions_continue(edge: Gateway, xmpp_server: XmppServer) -> None:
    """Bad input ends only the session of its sender."""
    good = Pair(edge, xmpp_server, "rfc7395")
    bad = Pair(edge, xmpp_server, "rfc7395")
    bad.browser.text(b"<a>&lol;</a>")
    assert bad.browser.until_close()[1] == 1008
    good.browser.text(b"<presence xmlns='jabber:client'/>")
    assert good.server.read_until(b"/>") == b"<presence xmlns='jabber:client'/>"
    good.server.send(b"<message><body>still here</body></message>")
    assert good.browser.message() == b"<message xmlns='jabber:client'><body>still here</body></message>"


@pytest.mark.rule("bytes-open")
def test_a_header_reaches_the_browser_whole(session: Pair) -> None:
    if session.framing == "legacy":
        assert session.header == SERVER_HEADER.partition(b"?>")[2]
    else:
        assert session.header == (
            b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' id='s1' version='1.0' xml:lang='en'"
            b" from='localhost'/>"
        )
