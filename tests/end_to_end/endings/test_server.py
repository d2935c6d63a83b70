"""Endings that the server causes, in both framings."""

from __future__ import annotations

import pytest

from tests.end_to_end.endings.expected import assert_error, assert_header
from tests.support.edges import Pair, StartEdge
from tests.support.gateway import Gateway
from tests.support.processes import ReservedPort
from tests.support.wire import END, OPENINGS, Browser, XmppServer


@pytest.mark.rule("end-server")
def test_an_error_of_the_server_ends_the_session(session: Pair) -> None:
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


@pytest.mark.rule("7395-3.6-close", "bytes-close", "end-server")
def test_the_end_of_the_servers_stream_ends_the_session(session: Pair) -> None:
    session.server.send(END)
    assert session.browser.until_close() == ([session.closing], 1000, "")
    assert session.server.read_to_end() == END


@pytest.mark.rule("end-upstream")
@pytest.mark.parametrize("vanish", ["reset", "fin"])
def test_a_lost_server_ends_the_session(session: Pair, vanish: str) -> None:
    if vanish == "reset":
        session.server.reset()
    else:
        session.server.fin()
    messages, code, reason = session.browser.until_close()
    assert_error(session.framing, messages, "remote-connection-failed")
    assert (code, reason) == (1011, "remote-connection-failed")


@pytest.mark.rule("end-upstream")
def test_the_last_bytes_of_a_lost_server_are_delivered(session: Pair) -> None:
    """Also when a write to the server has failed before."""
    session.server.send(b"<message id='last'/>")
    session.server.reset()
    session.browser.text(b"<presence xmlns='jabber:client'/>")
    messages, code, _ = session.browser.until_close()
    assert b"id='last'" in messages[0]
    assert code == 1011


def test_a_server_without_xmpp_is_an_error(edge: Gateway, xmpp_server: XmppServer, framing: str) -> None:
    browser = Browser(edge.ws_port)
    browser.text(OPENINGS[framing])
    server = xmpp_server.accept()
    server.read_until(b"version='1.0'>")
    server.send(b"SSH-2.0-OpenSSH_9.2\r\n")
    messages, code, _ = browser.until_close()
    assert_header(framing, messages[0])
    assert_error(framing, messages, "remote-connection-failed")
    assert code == 1011


@pytest.mark.rule("6120-4.9.1.2", "end-upstream")
@pytest.mark.slow
def test_a_server_that_is_down_is_an_error(start_edge: StartEdge, framing: str) -> None:
    nobody = ReservedPort()
    options = "{connect_timeout, 60}, "
    gateway = start_edge(port=nobody.number, ws_options=options)
    browser = Browser(gateway.ws_port)
    browser.text(OPENINGS[framing])
    messages, code, reason = browser.until_close()
    assert len(messages) == 3
    assert_header(framing, messages[0])
    assert_error(framing, messages, "remote-connection-failed")
    assert (code, reason) == (1011, "remote-connection-failed")
    nobody.release()


@pytest.mark.rule("7395-3.5")
def test_a_server_lost_before_its_header_is_an_error_after_a_header(
    edge: Gateway, xmpp_server: XmppServer
) -> None:
    """The gateway sends its own header first (RFC 6120 section 4.9.1.2)."""
    browser = Browser(edge.ws_port)
    browser.text(OPENINGS["rfc7395"])
    server = xmpp_server.accept()
    server.read_until(b"version='1.0'>")
    server.close()
    messages, code, _ = browser.until_close()
    assert_header("rfc7395", messages[0])
    assert code == 1011
