"""Accepted upgrades: the 101, the paths, and the first bytes after the head."""

from __future__ import annotations

import socket
import ssl

import pytest

from tests.listener.heads import GOOD, OPEN, SWITCHING, accepts, answer, changed, connect, refusal, request
from tests.support.gateway import Gateway
from tests.support.wire import CLOSE_7395, Browser, XmppServer, frame


@pytest.mark.rule("7395-3.1", "6455-4.2.2-subprotocol", "regression-offer")
@pytest.mark.parametrize(
    ("number", "lines"),
    [
        (0, [GOOD[0]]),
        (2, ["Upgrade: h2c, WebSocket"]),
        (2, ["upgrade: h2c", "UPGRADE:websocket"]),
        (3, ["Connection: keep-alive,Upgrade"]),
        (3, ["connection:keep-alive ,\tupgrade ,"]),
        (3, ["Connection: keep-alive", "Connection: UPGRADE"]),
        (4, ["Sec-WebSocket-Protocol: xmpp, foo"]),
        (4, ["Sec-WebSocket-Protocol: foo,xmpp"]),
        (4, ["Sec-WebSocket-Protocol: foo", "sec-websocket-protocol: xmpp"]),
        (6, ["Sec-WebSocket-Version:13"]),
        (6, [GOOD[6], "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]),
        (6, [GOOD[6], "Content-Length: 0"]),
        (6, [GOOD[6], "Expect: 100-continue"]),
    ],
)
def test_a_good_request_gets_the_101(edge: Gateway, number: int, lines: list[str]) -> None:
    connection = connect(edge.ws_port)
    connection.send(changed(number, *lines))
    assert connection.read_until(b"\r\n\r\n") == SWITCHING
    connection.send(frame(b"", 8))
    assert connection.read_to_end() == b"\x88\x02\x03\xe8"
    connection.close()


@pytest.mark.rule("7395-3.1", "6455-4.2.2-subprotocol", "regression-offer")
@pytest.mark.parametrize("offer", ["foo", "xmpp2", "xmppfoo, foo", "XMPP", "", "\x0bxmpp", "xmpp\xa0"])
def test_subprotocol_is_compared_whole(edge: Gateway, offer: str) -> None:
    got = answer(edge.ws_port, changed(4, f"Sec-WebSocket-Protocol: {offer}"))
    assert got == refusal(400, "Bad request: 'Sec-WebSocket-Protocol' doesn't include 'xmpp'")


@pytest.mark.rule("6455-4.2.2-resource")
@pytest.mark.parametrize(
    "target",
    [
        "/ws-xmpp/",
        "/ws-xmpp/anything/at/all",
        "/ws-xmpp?token=/x",
        "//ws-xmpp",
        "/%77s-xmpp",
        "/a/../ws-xmpp",
        "/./ws-xmpp",
        "/../../ws-xmpp",
        "http://localhost/ws-xmpp",
        "http://localhost:80/ws-xmpp?x",
    ],
)
def test_a_path_of_the_handler_is_accepted(edge: Gateway, target: str) -> None:
    assert accepts(edge.ws_port, changed(0, f"GET {target} HTTP/1.1"))


@pytest.mark.rule("6455-4.2.2-resource")
@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/ws-xmppx",
        "/ws-xmp",
        "/WS-XMPP",
        "/x/ws-xmpp",
        "/ws-xmpp/..",
        "/ws%2Dxmpp%2F",
        "/%",
    ],
)
def test_any_other_path_is_not_found(edge: Gateway, target: str) -> None:
    assert answer(edge.ws_port, changed(0, f"GET {target} HTTP/1.1")) == refusal(404, "Not found")


@pytest.mark.rule("9112-3.2")
@pytest.mark.parametrize("target", ["*", "ws-xmpp", "localhost/ws-xmpp"])
def test_a_target_that_is_neither_path_nor_url_is_refused(edge: Gateway, target: str) -> None:
    got = answer(edge.ws_port, changed(0, f"GET {target} HTTP/1.1"))
    assert got == refusal(400, "Bad request: invalid target")


def test_a_nul_in_the_path_is_refused(edge: Gateway) -> None:
    got = answer(edge.ws_port, changed(0, "GET /ws-xmpp/%00 HTTP/1.1"))
    assert got == refusal(400, "Bad request: invalid path")


@pytest.mark.rule("regression-segment")
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_the_first_frame_may_come_in_the_segment_of_the_head(
    edge: Gateway, xmpp_server: XmppServer, context: ssl.SSLContext, secure: bool
) -> None:
    port = edge.wss_port if secure else edge.ws_port
    browser = Browser(port, context=context if secure else None, first=frame(OPEN))
    server = xmpp_server.accept_stream()
    assert browser.message().startswith(b"<open ")
    browser.text(CLOSE_7395)
    assert server.read_until(b"</stream:stream>")
    server.close()
    browser.close()


def test_a_head_in_single_bytes_is_accepted(edge: Gateway) -> None:
    connection = connect(edge.ws_port)
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in request(*GOOD):
        connection.send(bytes((byte,)))
    assert connection.read_until(b"\r\n\r\n") == SWITCHING
    connection.close()
