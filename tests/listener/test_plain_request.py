"""Requests that ask for no upgrade."""

from __future__ import annotations

import signal

import pytest

from tests.listener.heads import LOST, PLAIN, WELCOMED, answer, connect, expected_refusal, refusal, request
from tests.support.edges import StartEdge
from tests.support.gateway import Gateway
from tests.support.wire import CLOSE, Browser
from wsgw.opening.advice import WELCOME


@pytest.mark.rule("9110-7.8")
@pytest.mark.parametrize(
    "lines",
    [
        PLAIN,
        ("GET /ws-xmpp/sub?x=y HTTP/1.1", "Host: localhost"),
        ("GET http://localhost/ws-xmpp HTTP/1.1", "Host: localhost"),
        ("GET /ws-xmpp HTTP/1.0",),
        (*PLAIN, "Connection: upgrade"),
        (*PLAIN, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"),
        (*PLAIN, "Content-Length: 0"),
        (*PLAIN, "Origin: https://evil.example", "Accept: text/html", "User-Agent: kube-probe/1.29"),
    ],
)
def test_a_plain_request_gets_the_welcome_page(edge: Gateway, lines: tuple[str, ...]) -> None:
    assert answer(edge.ws_port, request(*lines)) == WELCOMED
    head = answer(edge.ws_port, request(lines[0].replace("GET", "HEAD"), *lines[1:]))
    assert head + WELCOME.encode() == WELCOMED


@pytest.mark.rule("9110-7.8")
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("GET / HTTP/1.1", "Host: localhost"), expected_refusal(400, LOST[1])),
        (("GET / HTTP/1.0",), expected_refusal(400, LOST[2])),
        (("HEAD / HTTP/1.1", "Host: localhost"), refusal(400, "Bad request: invalid method")),
        (("POST /ws-xmpp HTTP/1.1", "Host: localhost"), refusal(400, "Bad request: invalid method")),
        (PLAIN[:1], refusal(400, "Bad request: need exactly one 'Host' header")),
        ((*PLAIN, "Host: localhost"), refusal(400, "Bad request: need exactly one 'Host' header")),
        ((*PLAIN, "Content-Length: 3"), refusal(400, "Bad request: unexpected body")),
        ((*PLAIN, "Transfer-Encoding: chunked"), refusal(400, "Bad request: unexpected body")),
        ((*PLAIN, "Sec-WebSocket-Key: x"), expected_refusal(400, LOST[1])),
        ((*PLAIN, "sec-websocket-extensions:"), expected_refusal(400, LOST[1])),
        ((*PLAIN, "Upgrade: WebSocket"), expected_refusal(400, LOST[0])),
        (("GET /ws-xmpp HTTP/1.0", "Sec-WebSocket-Version: 13"), expected_refusal(400, LOST[2])),
    ],
)
def test_a_bad_or_lost_upgrade_gets_no_welcome_page(
    edge: Gateway, lines: tuple[str, ...], expected: bytes
) -> None:
    assert answer(edge.ws_port, request(*lines)) == expected


@pytest.mark.slow
def test_a_plain_request_while_the_gateway_stops_gets_503(start_edge: StartEdge) -> None:
    """So a proxy's health check learns of the stop, which a browser without an answer to its Close delays."""
    gateway = start_edge(fresh=True, ws_options="{drain_timeout, 20}, {workers, 1}, ")
    browser = Browser(gateway.ws_port)
    late = connect(gateway.ws_port)
    late.send(request(*PLAIN)[:-2])
    gateway.child.signal(signal.SIGTERM)
    while browser.frame()[0] != CLOSE:
        pass
    late.send(b"\r\n")
    stops = refusal(503, "Service Unavailable: the gateway stops", "Retry-After: 1")
    assert late.read_to_end() == stops
    late.close()
    browser.close()
    assert gateway.child.wait(40) == 0
