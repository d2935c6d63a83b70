"""The checks of a request: their order, and the answer of each."""

from __future__ import annotations

import base64

import pytest

from tests.listener.heads import GOOD, KEY, accepts, answer, changed, expected_refusal, refusal, request
from tests.support.edges import StartEdge
from tests.support.gateway import Gateway
from wsgw.opening.advice import SUBPROTOCOL_LOST

#: Each adds one more error, for the last check first, so that the answer must change each time.
FAULTS = [
    (0, "GET /nowhere HTTP/1.1", 404, "Not found"),
    (5, "Sec-WebSocket-Key: dG9vIHNob3J0", 400, "Bad request: invalid 'Sec-WebSocket-Key' header"),
    (6, "Sec-WebSocket-Version: 8", 426, "Bad request: unsupported version of WebSocket protocol"),
    (6, "X-Nothing: 13", 400, "Bad request: need exactly one 'Sec-WebSocket-Version' header"),
    (5, f"X-Nothing: {KEY}", 400, "Bad request: need exactly one 'Sec-WebSocket-Key' header"),
    (4, "Sec-WebSocket-Protocol: foo", 400, "Bad request: 'Sec-WebSocket-Protocol' doesn't include 'xmpp'"),
    (3, "Connection: keep-alive", 400, "Bad request: 'Connection' header doesn't include 'upgrade'"),
    (2, "Upgrade: h2c", 400, "Bad request: 'Upgrade' header doesn't include 'websocket'"),
    (1, "X-Nothing: localhost", 400, "Bad request: need exactly one 'Host' header"),
    (0, "GET /nowhere HTTP/1.0", 400, "Bad request: need HTTP/1.1 or higher"),
    (0, "PUT /nowhere HTTP/1.0", 400, "Bad request: invalid method"),
]


@pytest.mark.rule("6455-4.2.1")
def test_the_checks_are_made_in_their_order(edge: Gateway) -> None:
    lines = list(GOOD)
    for number, line, status, phrase in FAULTS:
        lines[number] = line
        assert answer(edge.ws_port, request(*lines)) == expected_refusal(status, phrase)


@pytest.mark.rule("6455-4.2.1")
@pytest.mark.parametrize(("number", "line", "status", "phrase"), FAULTS[1:-2])
def test_each_check_has_its_answer(edge: Gateway, number: int, line: str, status: int, phrase: str) -> None:
    assert answer(edge.ws_port, changed(number, line)) == expected_refusal(status, phrase)


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "get", "CONNECT", "\xe4"])
def test_any_method_but_get_is_refused(edge: Gateway, method: str) -> None:
    expected = refusal(400, "Bad request: invalid method")
    assert answer(edge.ws_port, changed(0, f"{method} /ws-xmpp HTTP/1.1")) == expected


@pytest.mark.parametrize("body", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_post_with_a_body_is_refused_without_reading_it(edge: Gateway, body: str) -> None:
    """The unread body must not turn the FIN into an RST that takes the answer with it."""
    data = changed(0, "POST /ws-xmpp HTTP/1.1", body) + b"5\r\nhello\r\n" * 10_000
    assert answer(edge.ws_port, data) == refusal(400, "Bad request: invalid method")


@pytest.mark.parametrize(
    "body", ["Content-Length: 5", "Transfer-Encoding: chunked", "transfer-encoding: gzip"]
)
def test_an_upgrade_with_a_body_is_refused(edge: Gateway, body: str) -> None:
    """A proxy may take for a body what wsgw takes for frames."""
    got = answer(edge.ws_port, request(*GOOD, body) + b"hello")
    assert got == refusal(400, "Bad request: unexpected body")


@pytest.mark.rule("6455-4.4")
@pytest.mark.parametrize("version", ["7", "8", "14", "", "13.0", "013", "abc"])
def test_any_other_version_is_refused(edge: Gateway, version: str) -> None:
    got = answer(edge.ws_port, changed(6, f"Sec-WebSocket-Version: {version}"))
    phrase = "Bad request: unsupported version of WebSocket protocol"
    assert got == refusal(426, phrase, "Sec-WebSocket-Version: 13", "Upgrade: websocket")


@pytest.mark.rule("6455-4.2.1")
@pytest.mark.parametrize(
    "key", ["", "short", "!" * 24, base64.b64encode(b"x" * 15).decode(), KEY + KEY, "\xff"]
)
def test_a_bad_key_is_refused(edge: Gateway, key: str) -> None:
    got = answer(edge.ws_port, changed(5, f"Sec-WebSocket-Key: {key}"))
    assert got == refusal(400, "Bad request: invalid 'Sec-WebSocket-Key' header")


@pytest.mark.parametrize("number", [1, 5, 6])
def test_a_header_that_must_be_single_is_refused_twice(edge: Gateway, number: int) -> None:
    name = GOOD[number].partition(":")[0]
    got = answer(edge.ws_port, changed(number, GOOD[number], GOOD[number]))
    assert got == refusal(400, f"Bad request: need exactly one '{name}' header")


@pytest.mark.rule("6455-4.2.2-origin")
def test_only_an_allowed_origin_is_served(start_edge: StartEdge) -> None:
    port = start_edge(ws_options='{websocket_origin, ["https://chat.example"]}, ').ws_port
    assert accepts(port, request(*GOOD))
    assert accepts(port, request(*GOOD, "Origin: https://CHAT.example"))
    forbidden = refusal(403, "Forbidden: origin not allowed")
    for origin in (
        "https://evil.example",
        "null",
        "",
        "https://chat.example.evil",
        "https://chat.example:8443",
    ):
        assert answer(port, request(*GOOD, f"Origin: {origin}")) == forbidden
    both = ("Origin: https://chat.example", "Origin: https://evil.example")
    assert answer(port, request(*GOOD, *both)) == forbidden
    assert answer(port, changed(0, "GET / HTTP/1.1", both[1])) == refusal(404, "Not found")


@pytest.mark.parametrize("lines", [(), ("Sec-WebSocket-Protocol: permessage-deflate",)])
def test_a_subprotocol_lost_on_the_way_is_refused(edge: Gateway, lines: tuple[str, ...]) -> None:
    got = answer(edge.ws_port, changed(4, *lines))
    phrase = "Bad request: 'Sec-WebSocket-Protocol' doesn't include 'xmpp'"
    assert got == refusal(400, phrase, body=SUBPROTOCOL_LOST)
