"""Limits that need a whole gateway to be reached: sizes around login, the shaper, peers that do not read."""

from __future__ import annotations

import select
import time

import pytest

from tests.support.edges import StartEdge
from tests.support.gateway import Gateway
from tests.support.processes import wait_until
from tests.support.wire import (
    CLOSE_7395,
    END,
    OPENINGS,
    PING,
    SECONDS,
    SUCCESS,
    Browser,
    Connection,
    XmppServer,
    frame,
    stays_unread,
    within,
)
from wsgw.errors import causes


def opened(gateway: Gateway, server: XmppServer, first: bytes = SUCCESS) -> tuple[Browser, Connection]:
    browser = Browser(gateway.ws_port)
    browser.text(OPENINGS["rfc7395"])
    connection = server.accept_stream(first)
    browser.message()
    browser.message()
    return browser, connection


def message_of(size: int) -> bytes:
    """A stanza of exactly ``size`` bytes."""
    stanza = b"<message xmlns='jabber:client'><body>%s</body></message>"
    return stanza % (b"x" * (size - len(stanza) + 2))


@pytest.mark.rule("6455-10.4")
def test_a_stanza_before_login_may_be_ten_thousand_bytes(
    start_edge: StartEdge, xmpp_server: XmppServer
) -> None:
    """RFC 6120 section 13.12 allows no lower limit."""
    gateway = start_edge(ws_options="")
    browser, server = opened(gateway, xmpp_server, b"<stream:features/>")
    browser.text(message_of(10_000))
    assert server.read(10_000) == message_of(10_000)
    header = frame(message_of(10_001))[:8]
    browser.send(header)  # found in the header of the frame: the stanza itself is never sent
    messages, code, reason = browser.until_close()
    assert messages[0].startswith(b"<stream:error")
    assert messages[1:] == [CLOSE_7395]
    assert (code, reason) == (1009, "policy-violation")
    assert server.read_to_end().endswith(b"</stream:error>" + END)


def test_a_stanza_after_login_may_be_larger(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    gateway = start_edge(ws_options="{max_stanza_size, 20000}, ")
    browser, server = opened(gateway, xmpp_server)
    browser.text(message_of(20_000))
    assert server.read(20_000) == message_of(20_000)
    browser.text(message_of(20_001))
    assert browser.until_close()[1] == 1009
    assert server.read_to_end().endswith(END)


@pytest.mark.rule("6455-10.4")
def test_the_fragments_of_a_message_count_together(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    gateway = start_edge(ws_options="{max_stanza_size, 20000}, ")
    browser, _ = opened(gateway, xmpp_server)
    stanza = message_of(20_001)
    browser.send(frame(stanza[:15_000], fin=False) + frame(stanza[15_000:], 0))
    assert browser.until_close()[1] == 1009


@pytest.mark.slow
def test_the_shaper_delays_and_drops_no_stanza(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    gateway = start_edge(ws_options="{shaper, 20000}, ")
    browser, server = opened(gateway, xmpp_server)
    started = time.monotonic()
    stanzas = [message_of(5_000 + number) for number in range(20)]
    for stanza in stanzas:
        browser.text(stanza)
    total = b"".join(stanzas)
    assert server.read(len(total)) == total
    # 100 kB at 20 kB/s; the first read and the bytes of one second may come early.
    assert time.monotonic() - started > 2.5


@pytest.mark.slow
def test_a_browser_that_only_pings_and_never_reads_is_cut(
    start_edge: StartEdge, xmpp_server: XmppServer
) -> None:
    """It reads neither the pongs nor anything else."""
    gateway = start_edge(ws_options="{send_buffer_high, 4096}, {send_timeout, 1}, ")
    browser = Browser(gateway.ws_port, receive_buffer=4096)
    browser.text(OPENINGS["rfc7395"])
    server = xmpp_server.accept_stream()
    pings = frame(b"x" * 125, PING) * 500
    with within(30), pytest.raises(OSError, match=r"reset|Broken|timed out"):
        while True:
            browser.send(pings)
    assert server.read_to_end() == b""


def send_until_answered(browser: Browser, data: bytes) -> None:
    """Send ``data`` again and again, as much as is accepted, until there are bytes to read."""
    left = b""
    while not (ready := select.select([browser.socket], [browser.socket], [], 10))[0]:
        assert ready[1], "it is neither read nor answered"
        left = left or data
        left = left[browser.socket.send(left) :]


@pytest.mark.slow
def test_a_server_that_does_not_read_is_given_up(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    slow = XmppServer(receive_buffer=4096)
    gateway = start_edge(
        ws_options="{send_timeout, 1}, {websocket_ping_interval, infinity}, ", port=slow.port
    )
    browser, server = opened(gateway, slow)
    send_until_answered(browser, frame(message_of(60_000)))
    messages, code, reason = browser.until_close()
    assert messages[-1] == CLOSE_7395
    assert (code, reason) == (1011, "remote-connection-failed")
    server.close()
    slow.close()


@pytest.mark.slow
def test_the_last_bytes_above_the_hard_limit_are_not_read(start_edge: StartEdge) -> None:
    """The browser has left, and its server does not read the bytes sent before."""
    slow = XmppServer(receive_buffer=4096)
    gateway = start_edge(
        fresh=True,
        ws_options="{send_buffer_high, 4096}, {send_buffer_hard, 8192}, {send_timeout, 60}, ",
        port=slow.port,
    )
    browser, server = opened(gateway, slow)
    port = browser.socket.getsockname()[1]
    while not stays_unread(gateway.ws_port, port):
        browser.send(frame(message_of(10_000)))
    browser.close()
    cause = f'cause="{causes.LEFT_TOO_MUCH.text}"'
    wait_until(lambda: cause in gateway.child.text(), SECONDS, "the end of the session")
    server.close()
    slow.close()


@pytest.mark.rule("7395-3.6.1")
def test_a_server_may_redirect_the_browser(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    gateway = start_edge(ws_options='{see_other_uri, "wss://@HOST@:5443/ws"}, ')
    browser = Browser(gateway.ws_port)
    browser.text(OPENINGS["rfc7395"])
    other = b"<see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>node2.example:5222</see-other-host>"
    server = xmpp_server.accept_stream(b"<stream:error>" + other + b"</stream:error>" + END)
    messages, code, reason = browser.until_close()
    assert messages[1:] == [
        b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" see-other-uri="wss://node2.example:5443/ws" />'
    ]
    assert (code, reason) == (1000, "see-other-host")
    assert server.read_to_end() == END
