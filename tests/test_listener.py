"""The edge, byte by byte: which request gets which answer, and how a connection ends before its 101."""

from __future__ import annotations

import base64
import hashlib
import resource
import signal
import socket
import ssl
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import gevent
import pytest

import wsgw.gateway
from tests.support.certificates import Certificate
from tests.support.edges import StartEdge
from tests.support.gateway import Gateway
from tests.support.processes import wait_until
from tests.support.wire import (
    CLOSE,
    CLOSE_7395,
    OPENINGS,
    SECONDS,
    Browser,
    Connection,
    XmppServer,
    frame,
    upgrade_request,
)
from wsgw.config import from_arguments
from wsgw.listener.accept import MAX_ACCEPT, Listener
from wsgw.opening.advice import HTTP2, SUBPROTOCOL_LOST, UPGRADE_LOST, WELCOME

OPEN = OPENINGS["rfc7395"]
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = (
    "GET /ws-xmpp HTTP/1.1",
    "Host: localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Protocol: xmpp",
    f"Sec-WebSocket-Key: {KEY}",
    "Sec-WebSocket-Version: 13",
)


@pytest.fixture(scope="module")
def edge(start_edge: StartEdge) -> Gateway:
    return start_edge()


@pytest.fixture(scope="module")
def hasty(start_edge: StartEdge) -> Gateway:
    """Short deadlines, by default twice as long as a read's."""
    return start_edge(ws_options="{handshake_timeout, 1}, {tls_handshake_timeout, 1}, ")


@pytest.fixture(scope="module")
def context(certificate: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate.ca)


TEXT = ("Content-Type: text/plain; charset=utf-8", "X-Content-Type-Options: nosniff")


def connect(port: int, host: str = "127.0.0.1") -> Connection:
    return Connection(socket.create_connection((host, port), SECONDS))


def request(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def changed(number: int, *lines: str) -> bytes:
    """The good request with line ``number`` replaced by ``lines``."""
    return request(*GOOD[:number], *lines, *GOOD[number + 1 :])


def answer(port: int, data: bytes) -> bytes:
    """Everything that comes back; an RST instead of the FIN is an OSError."""
    connection = connect(port)
    try:
        connection.send(data)
        return connection.read_to_end()
    finally:
        connection.close()


def refusal(status: int, phrase: str, *headers: str, body: str = "") -> bytes:
    closing = "Connection: close, Upgrade" if status == 426 else "Connection: close"
    headers += TEXT * bool(body)
    head = request(f"HTTP/1.1 {status} {phrase}", *headers, f"Content-Length: {len(body)}", closing)
    return head + body.encode()


def accepts(port: int, data: bytes) -> bool:
    connection = connect(port)
    try:
        connection.send(data)
        return connection.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
    finally:
        connection.close()


# -- the checks, in their order -------------------------------------------------------------------

#: Each makes one more thing wrong, the last check first, so that the answer must change each time.
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


#: Those a proxy on the way may have caused say what to change in it.
LOST = (
    "Bad request: 'Connection' header doesn't include 'upgrade'",
    "Bad request: 'Upgrade' header doesn't include 'websocket'",
    "Bad request: need HTTP/1.1 or higher",
)


def expected_refusal(status: int, phrase: str) -> bytes:
    headers = ("Sec-WebSocket-Version: 13", "Upgrade: websocket") if status == 426 else ()
    return refusal(status, phrase, *headers, body=UPGRADE_LOST if phrase in LOST else "")


def test_checks_in_their_order(edge: Gateway) -> None:
    lines = list(GOOD)
    for number, line, status, phrase in FAULTS:
        lines[number] = line
        assert answer(edge.ws_port, request(*lines)) == expected_refusal(status, phrase)


@pytest.mark.parametrize(("number", "line", "status", "phrase"), FAULTS[1:-2])
def test_one_check(edge: Gateway, number: int, line: str, status: int, phrase: str) -> None:
    assert answer(edge.ws_port, changed(number, line)) == expected_refusal(status, phrase)


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "get", "CONNECT", "\xe4"])
def test_method(edge: Gateway, method: str) -> None:
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
def test_upgrade_with_a_body(edge: Gateway, body: str) -> None:
    """Frames or body: a proxy may see it otherwise than we do."""
    got = answer(edge.ws_port, request(*GOOD, body) + b"hello")
    assert got == refusal(400, "Bad request: unexpected body")


@pytest.mark.parametrize("version", ["7", "8", "14", "", "13.0", "013", "abc"])
def test_version(edge: Gateway, version: str) -> None:
    got = answer(edge.ws_port, changed(6, f"Sec-WebSocket-Version: {version}"))
    phrase = "Bad request: unsupported version of WebSocket protocol"
    assert got == refusal(426, phrase, "Sec-WebSocket-Version: 13", "Upgrade: websocket")


@pytest.mark.parametrize(
    "key", ["", "short", "!" * 24, base64.b64encode(b"x" * 15).decode(), KEY + KEY, "\xff"]
)
def test_key(edge: Gateway, key: str) -> None:
    got = answer(edge.ws_port, changed(5, f"Sec-WebSocket-Key: {key}"))
    assert got == refusal(400, "Bad request: invalid 'Sec-WebSocket-Key' header")


@pytest.mark.parametrize("number", [1, 5, 6])
def test_header_that_must_be_alone(edge: Gateway, number: int) -> None:
    name = GOOD[number].partition(":")[0]
    got = answer(edge.ws_port, changed(number, GOOD[number], GOOD[number]))
    assert got == refusal(400, f"Bad request: need exactly one '{name}' header")


# -- the 101 --------------------------------------------------------------------------------------

ACCEPT = base64.b64encode(
    hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
).decode()
SWITCHING = request(
    "HTTP/1.1 101 Switching protocol to XMPP over WebSocket",
    "Upgrade: websocket",
    "Connection: Upgrade",
    f"Sec-WebSocket-Accept: {ACCEPT}",
    "Sec-WebSocket-Protocol: xmpp",
)


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
def test_accepted(edge: Gateway, number: int, lines: list[str]) -> None:
    connection = connect(edge.ws_port)
    connection.send(changed(number, *lines))
    assert connection.read_until(b"\r\n\r\n") == SWITCHING
    connection.send(frame(b"", 8))
    assert connection.read_to_end() == b"\x88\x02\x03\xe8"
    connection.close()


@pytest.mark.parametrize("offer", ["foo", "xmpp2", "xmppfoo, foo", "XMPP", "", "\x0bxmpp", "xmpp\xa0"])
def test_subprotocol_is_compared_whole(edge: Gateway, offer: str) -> None:
    got = answer(edge.ws_port, changed(4, f"Sec-WebSocket-Protocol: {offer}"))
    assert got == refusal(400, "Bad request: 'Sec-WebSocket-Protocol' doesn't include 'xmpp'")


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
def test_path_accepted(edge: Gateway, target: str) -> None:
    assert accepts(edge.ws_port, changed(0, f"GET {target} HTTP/1.1"))


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
        "*",
        "ws-xmpp",
        "/%",
    ],
)
def test_path_not_found(edge: Gateway, target: str) -> None:
    assert answer(edge.ws_port, changed(0, f"GET {target} HTTP/1.1")) == refusal(404, "Not found")


def test_nul_in_the_path(edge: Gateway) -> None:
    got = answer(edge.ws_port, changed(0, "GET /ws-xmpp/%00 HTTP/1.1"))
    assert got == refusal(400, "Bad request: invalid path")


def test_origin(start_edge: StartEdge) -> None:
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


# -- heads that are no heads ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        request(*GOOD, "X-Long: " + "x" * 20_000),
        request(*GOOD, *(f"X-{number}: {'x' * 200}" for number in range(90))),
        request(*GOOD, *(f"X-{number}: y" for number in range(120))),
        request(*GOOD, *("X: y" for number in range(6000))),
    ],
    ids=["one long line", "many lines", "too many lines", "thousands of lines"],
)
def test_head_too_large(edge: Gateway, head: bytes) -> None:
    assert answer(edge.ws_port, head) == refusal(431, "Request Header Fields Too Large")


def test_endless_header(edge: Gateway) -> None:
    data = request(*GOOD)[:-2] + b"X-Endless: " + b"x" * 500_000
    assert answer(edge.ws_port, data) == refusal(431, "Request Header Fields Too Large")


def test_header_line_too_long_for_the_parser(start_edge: StartEdge) -> None:
    port = start_edge(ws_options="{max_header_size, 200000}, ").ws_port
    assert accepts(port, request(*GOOD, "X-Long: " + "x" * 60_000))
    got = answer(port, request(*GOOD, "X-Long: " + "x" * 70_000))
    assert got == refusal(431, "Request Header Fields Too Large")


@pytest.mark.parametrize("size", [8_192, 12_000, 20_000, 200_000])
def test_request_line_too_long(edge: Gateway, size: int) -> None:
    got = answer(edge.ws_port, changed(0, f"GET /{'x' * size} HTTP/1.1"))
    assert got == refusal(414, "URI Too Long")


def test_request_line_without_end(edge: Gateway) -> None:
    assert answer(edge.ws_port, b"G" * 100_000) == refusal(414, "URI Too Long")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\r\n\r\n",
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / x HTTP/1.1\r\n\r\n",
        b"GET / FTP/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1\r\n\r\n",
        b"GET / HTTP/1.1.1\r\n\r\n",
        b"GET / HTTP/1.-1\r\n\r\n",
        b"GET / HTTP/+1.1\r\n\r\n",
        b"GET / HTTP/\xb9.1\r\n\r\n",
        b"GET / HTTP/1_0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /\r\n\r\n",
    ],
)
def test_garbage(edge: Gateway, garbage: bytes) -> None:
    assert answer(edge.ws_port, garbage) == refusal(400, "Bad request")


def test_http_2(edge: Gateway) -> None:
    """From a proxy that knows, as it believes, that HTTP/2 is spoken here."""
    got = answer(edge.ws_port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert got == refusal(400, "Bad request", body=HTTP2)


@pytest.mark.parametrize("lines", [(), ("Sec-WebSocket-Protocol: permessage-deflate",)])
def test_subprotocol_lost_on_the_way(edge: Gateway, lines: tuple[str, ...]) -> None:
    got = answer(edge.ws_port, changed(4, *lines))
    phrase = "Bad request: 'Sec-WebSocket-Protocol' doesn't include 'xmpp'"
    assert got == refusal(400, phrase, body=SUBPROTOCOL_LOST)


def test_advice_names_what_to_change() -> None:
    for text in (UPGRADE_LOST, WELCOME):
        assert "proxy_http_version 1.1;" in text
        assert "proxy_set_header Upgrade $http_upgrade;" in text
        assert 'proxy_set_header Connection "upgrade";' in text


# -- requests that ask for no upgrade -------------------------------------------------------------

PLAIN = ("GET /ws-xmpp HTTP/1.1", "Host: localhost")
WELCOMED = refusal(200, "OK", "Cache-Control: no-store", body=WELCOME)


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
def test_plain_request(edge: Gateway, lines: tuple[str, ...]) -> None:
    assert answer(edge.ws_port, request(*lines)) == WELCOMED
    head = answer(edge.ws_port, request(lines[0].replace("GET", "HEAD"), *lines[1:]))
    assert head + WELCOME.encode() == WELCOMED


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
def test_no_plain_request(edge: Gateway, lines: tuple[str, ...], expected: bytes) -> None:
    assert answer(edge.ws_port, request(*lines)) == expected


def test_plain_request_while_the_gateway_stops(start_edge: StartEdge) -> None:
    """Then a proxy's health check is to hear of it. The browser leaves the Close unanswered meanwhile."""
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


# -- heads that two parsers may read in two ways (RFC 9112 section 11) -----------------------------


def smuggled(lines: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """A request with something in it that must not be passed over."""
    good = request(*lines)
    for name, byte in (("CR", b"\r"), ("NUL", b"\0")):
        for place in (
            b"ET /ws",
            b"/ws-xmpp",
            b" HTTP",
            b"/1.1",
            b"ost:",
            b" localhost",
            b"\r\nConn",
        ):
            yield f"{name} before {place!r}", good.replace(place, byte + place, 1)
        yield f"{name} before the empty line", good[:-2] + byte + b"\r\n"
        yield f"{name} in a further field", good[:-2] + b"X: a" + byte + b"Y: b\r\n\r\n"
        yield f"{name} alone in a further line", good[:-2] + byte + b"X: a\r\n\r\n"
    for number, line in enumerate(lines):
        yield f"LF ends line {number}", good.replace(line.encode() + b"\r\n", line.encode() + b"\n")
        yield f"white space before line {number}", good.replace(line.encode(), b" " + line.encode())
        yield f"tab before line {number}", good.replace(line.encode(), b"\t" + line.encode())
    yield "LF for the empty line", good[:-2] + b"\n"
    yield "all lines end with LF", good.replace(b"\r\n", b"\n")
    yield "an obsolete fold", good[:-2] + b"X: a\r\n b\r\n\r\n"
    yield "an envelope", good.replace(b"Host", b"From localhost\r\nHost")
    yield "an envelope with a colon", good.replace(b"Host", b"From local: host\r\nHost")
    for space in (b"\t", b"  ", b"\x0b", b"\x0c", b"\xa0", b"\x85", b"\x1c"):
        yield f"{space!r} in the request line", good.replace(b" HTTP", space + b"HTTP", 1)
    yield "white space after the request line", good.replace(b"1.1\r", b"1.1 \r", 1)
    yield "two empty lines before", b"\r\n\r\n" + good
    yield "an empty line of LF before", b"\n" + good
    yield "white space in the line before", b" \r\n" + good
    for value in ("0, 0", "+0", "-0", "0_0", "0x0", "", "0 0", "0;", "\xb2", "1e1", "0.0", '"0"'):
        yield f"Content-Length: {value}", request(*lines, f"Content-Length: {value}")
    for first, second in (("0", "0"), ("0", "5"), ("5", "5")):
        both = f"Content-Length: {first}", f"content-length: {second}"
        yield f"Content-Length {first} and {second}", request(*lines, *both)
    for name in ("Content-Length ", "Content-Length\t", "Transfer-Encoding ", " Transfer-Encoding"):
        yield f"{name!r}", request(*lines, f"{name}: 0")
    for coding in ("chunked", "identity", "xchunked", "chunked, identity", "", "\x0bchunked"):
        yield f"Transfer-Encoding: {coding!r}", request(*lines, f"Transfer-Encoding: {coding}")
        both = f"Transfer-Encoding: {coding}", "Content-Length: 0"
        yield f"Transfer-Encoding: {coding!r} and a length", request(*lines, *both)


SMUGGLED = {
    f"{kind}, {fault}": head
    for kind, lines in (("upgrade", GOOD), ("plain", (*PLAIN, "Connection: Upgrade")))
    for fault, head in smuggled(lines)
}


@pytest.mark.parametrize("head", SMUGGLED.values(), ids=SMUGGLED)
def test_head_that_is_read_in_two_ways(edge: Gateway, head: bytes) -> None:
    got = answer(edge.ws_port, head)
    assert got.startswith(b"HTTP/1.1 400 Bad request"), got
    assert got.count(b"HTTP/1.1 400 ") == 1


@pytest.mark.parametrize("split", [1, 2, 3, 10])
def test_one_empty_line_before_the_request_is_passed_over(edge: Gateway, split: int) -> None:
    connection = connect(edge.ws_port)
    head = b"\r\n" + request(*GOOD)
    connection.send(head[:split])
    connection.send(head[split:])
    assert connection.read_until(b"\r\n\r\n") == SWITCHING
    connection.close()


def test_other_controls_in_a_value_end_nothing(edge: Gateway) -> None:
    """They are no line ends to anybody, and only refused where they could matter."""
    assert accepts(edge.ws_port, request(*GOOD, "X: a\x0bContent-Length: 5\x0c\x1e\x85\x1b[1m"))


@pytest.mark.parametrize(
    "first",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"<?xml version='1.0'?>",
        b"<stream:stream to='localhost'>",
        b"PROXY TCP4 ",
    ],
)
def test_another_protocol_is_answered_at_once(edge: Gateway, first: bytes) -> None:
    """Before a line has come, which may never come."""
    connection = connect(edge.ws_port)
    connection.send(first)
    assert connection.read_to_end() == refusal(400, "Bad request")
    connection.close()


@pytest.mark.parametrize("line", ["no colon", "Name : value", ": no name", "X-\xff: y"])
def test_malformed_header(edge: Gateway, line: str) -> None:
    got = answer(edge.ws_port, request(*GOOD, line))
    assert got == refusal(400, "Bad request: malformed header")


def test_http_0_9(edge: Gateway) -> None:
    got = answer(edge.ws_port, b"GET /ws-xmpp\r\n\r\n")
    assert got == refusal(400, "Bad request: need HTTP/1.1 or higher")


def test_nothing_at_all(edge: Gateway) -> None:
    connection = connect(edge.ws_port)
    connection.fin()
    assert connection.read_to_end() == b""
    connection.close()


# -- deadlines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [b"", b"GET /ws-xm", request(*GOOD)[:-2]], ids=["nothing", "line", "head"])
def test_slow_head(hasty: Gateway, begun: bytes) -> None:
    assert answer(hasty.ws_port, begun) == refusal(408, "Request Timeout")


def test_slow_head_over_tls(hasty: Gateway, context: ssl.SSLContext) -> None:
    with context.wrap_socket(
        socket.create_connection(("127.0.0.1", hasty.wss_port)), server_hostname="localhost"
    ) as sock:
        connection = Connection(sock)
        connection.send(b"GET ")
        assert connection.read_to_end() == refusal(408, "Request Timeout")


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"], ids=["nothing", "some"])
def test_slow_tls_handshake(hasty: Gateway, begun: bytes) -> None:
    assert answer(hasty.wss_port, begun) == b""


# -- TLS ------------------------------------------------------------------------------------------


def test_plain_http_to_the_tls_port(edge: Gateway) -> None:
    assert not answer(edge.wss_port, request(*GOOD)).startswith(b"HTTP")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_tls_version_accepted(edge: Gateway, certificate: Certificate, version: str) -> None:
    context = ssl.create_default_context(cafile=certificate.ca)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    browser = Browser(edge.wss_port, context=context)
    assert browser.head.startswith("HTTP/1.1 101 ")
    browser.close()


def test_tls_1_1_refused(edge: Gateway) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol"):
        Browser(edge.wss_port, context=context)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_first_frame_in_the_same_segment(
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


def test_head_in_single_bytes(edge: Gateway) -> None:
    connection = connect(edge.ws_port)
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in request(*GOOD):
        connection.send(bytes((byte,)))
    assert connection.read_until(b"\r\n\r\n") == SWITCHING
    connection.close()


# -- several listeners ----------------------------------------------------------------------------

BOTH_FAMILIES = """\
hosts: [localhost]
listen:
  - port: {ws_port}
    ip: "0.0.0.0"
    module: websocket_session
    request_handlers: {{/four: mod_websocket}}
    upstream: "tcp://127.0.0.1:{c2s_port}"
  - port: {ws_port}
    ip: "::"
    module: websocket_session
    request_handlers: {{/six: mod_websocket}}
    upstream: "tcp://127.0.0.1:{c2s_port}"
  - port: {wss_port}
    ip: "::"
    module: websocket_session
    request_handlers: {{/both: mod_websocket}}
    upstream: "tcp://127.0.0.1:{c2s_port}"
"""


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_listeners_of_both_families(
    xmpp_server: XmppServer, certificate: Certificate, tmp_path: Path
) -> None:
    path = tmp_path / "wsgw.yml"
    gateway = Gateway(
        tmp_path, certificate, xmpp_server.port, config=BOTH_FAMILIES, arguments=["--config", str(path)]
    )
    path.write_text(gateway.config.read_text())
    try:
        gateway.start()
        for port, host, target in (
            (gateway.ws_port, "127.0.0.1", "/four"),
            (gateway.ws_port, "::1", "/six"),
            (gateway.wss_port, "127.0.0.1", "/both"),
            (gateway.wss_port, "::1", "/both"),
        ):
            browser = Browser(port, host=host, path=target)
            assert browser.head.startswith("HTTP/1.1 101 "), (host, target)
            browser.close()
        assert gateway.stop() == 0
    finally:
        gateway.close()


# -- limits ---------------------------------------------------------------------------------------


def from_(address: str) -> tuple[str, ...]:
    return (f"X-Forwarded-For: {address}",)


def test_max_sessions_per_ip(start_edge: StartEdge) -> None:
    port = start_edge(ws_options="{max_sessions_per_ip, 2}, ").ws_port
    browsers = [Browser(port, headers=from_("192.0.2.1")) for _ in range(2)]
    browsers += [Browser(port, headers=from_("192.0.2.2")), *(Browser(port) for _ in range(3))]
    assert all(browser.head.startswith("HTTP/1.1 101 ") for browser in browsers)
    one_more = upgrade_request(headers=from_("192.0.2.1"))
    expected = refusal(503, "Service Unavailable: too many sessions from your address", "Retry-After: 30")
    assert answer(port, one_more) == expected
    browsers[0].close_frame()
    browsers[0].read_to_end()
    browsers[0].close()
    wait_until(lambda: accepts(port, one_more), SECONDS, "room for one more")
    for browser in browsers:
        browser.close()


def test_max_sessions_holds_for_everyone(start_edge: StartEdge) -> None:
    port = start_edge(ws_options="{max_sessions, 3}, ").ws_port
    browsers: list[Browser] = []

    def let_in(*headers: str) -> bool:
        """One browser more; who asked whether the ports are open may still be counted."""
        browser = Browser(port, headers=headers)
        browsers.append(browser)
        return browser.head.startswith("HTTP/1.1 101 ")

    for headers in ((), from_("192.0.2.1"), from_("192.0.2.2")):
        wait_until(partial(let_in, *headers), SECONDS, "room for three")
    expected = refusal(503, "Service Unavailable: too many sessions", "Retry-After: 30")
    for headers in ((), from_("192.0.2.3")):
        assert answer(port, upgrade_request(headers=headers)) == expected
    for browser in browsers:
        browser.close()


def test_max_connect_rate_per_ip(start_edge: StartEdge) -> None:
    port = start_edge(ws_options="{max_connect_rate_per_ip, {0.001, 2}}, ").ws_port
    again = upgrade_request(headers=from_("192.0.2.1"))
    assert accepts(port, again)
    assert accepts(port, again)
    expected = refusal(503, "Service Unavailable: too many connections from your address", "Retry-After: 1")
    assert answer(port, again) == expected
    assert accepts(port, upgrade_request(headers=from_("192.0.2.2")))
    assert all(accepts(port, upgrade_request()) for _ in range(4)), "loopback has no limit"


#: Each ends in another refusal, at another place of the code.
REFUSED_HEADS = {
    "no such path": upgrade_request("/elsewhere"),
    "no upgrade": request("GET / HTTP/1.1", "Host: localhost"),
    "a method": request("POST /ws-xmpp HTTP/1.1", "Host: localhost"),
    "plain": request(*PLAIN),
    "a body": request(*GOOD, "Content-Length: 5"),
    "two lengths": request(*GOOD, "Content-Length: 0", "Content-Length: 0"),
    "a length that is no number": request(*GOOD, "Content-Length: x"),
    "a malformed line": request(*GOOD, "no colon"),
    "a NUL": request(*GOOD, "X: \0"),
    "two blanks in the request line": changed(0, "GET  /ws-xmpp HTTP/1.1"),
    "a NUL in the request line": changed(0, "GET /ws-xmpp\0 HTTP/1.1"),
    "another version of HTTP": changed(0, "GET /ws-xmpp HTTP/2.0"),
    "no request line": changed(0, "hello"),
    "many lines": request(*GOOD, *("X: y" for _ in range(120))),
    "a large head": request(*GOOD, "X: " + "x" * 20_000),
    "a long request line": changed(0, f"GET /{'x' * 9000} HTTP/1.1"),
    "a longer request line": changed(0, f"GET /{'x' * 20_000} HTTP/1.1"),
}


@pytest.mark.parametrize("head", REFUSED_HEADS.values(), ids=REFUSED_HEADS)
def test_refused_requests_count_for_the_client_behind_a_proxy(start_edge: StartEdge, head: bytes) -> None:
    """The proxy adds its line at the end, as haproxy does, after what the client made up."""
    port = start_edge(ws_options="{max_connect_rate_per_ip, {0.001, 2}}, ").ws_port
    client = f"198.51.100.{list(REFUSED_HEADS.values()).index(head)}"
    forged = head.replace(b"\r\n", b"\r\nX-Forwarded-For: 203.0.113.77\r\n", 1)
    sent = forged[:-2] + f"X-Forwarded-For: {client}\r\n\r\n".encode()
    first, second = answer(port, sent), answer(port, sent)
    assert first == second
    assert first[9:12] in (b"200", b"400", b"404", b"414", b"431")
    too_many = "Service Unavailable: too many connections from your address"
    assert answer(port, sent) == refusal(503, too_many, "Retry-After: 1")
    assert answer(port, upgrade_request(headers=from_(client))) == refusal(503, too_many, "Retry-After: 1")


def test_nobody_else_is_charged(start_edge: StartEdge) -> None:
    """A head without its end does not say who the client is: the proxy's line may be missing."""
    port = start_edge(ws_options="{max_connect_rate_per_ip, {0.001, 2}}, ").ws_port
    forged = upgrade_request(headers=from_("203.0.113.78"))[:-2] + b"X: " + b"x" * 100_000
    for _ in range(3):
        assert answer(port, forged).startswith(b"HTTP/1.1 431 ")
    assert accepts(port, upgrade_request(headers=from_("203.0.113.78")))


def test_a_few_newcomers_are_taken_in_each_turn_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wave of logins must not hold up the sessions there are."""
    taken = Counter[int]()
    do_read = Listener.do_read

    def counted(listener: Listener) -> tuple[socket.socket, Any] | None:
        accepted = do_read(listener)
        taken[gevent.get_hub().loop.iteration] += accepted is not None
        return accepted

    monkeypatch.setattr(Listener, "do_read", counted)
    gateway = wsgw.gateway.Gateway.alone(from_arguments("127.0.0.1:0", ["localhost"], ["tcp://127.0.0.1:1"]))
    gateway.start()
    address = ("127.0.0.1", gateway.listeners[0].server_port)
    wave = [socket.create_connection(address) for _ in range(10 * MAX_ACCEPT)]
    try:
        with gevent.Timeout(5):
            while taken.total() < len(wave):
                gevent.sleep(0.001)
    finally:
        for newcomer in wave:
            newcomer.close()
        gateway.stop()
    assert max(taken.values()) == MAX_ACCEPT


def test_no_descriptors_left(xmpp_server: XmppServer, certificate: Certificate, tmp_path: Path) -> None:
    """Who comes then waits; the gateway neither spins nor dies, and serves them later."""
    gateway = Gateway(tmp_path, certificate, xmpp_server.port, ws_options="{workers, 1}, ")
    try:
        gateway.start()
        (worker,) = gateway.workers
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (40, 40))
        crowd = [connect(gateway.ws_port) for _ in range(60)]
        wait_until(
            lambda: "accepts nobody for now: Too many open files" in gateway.child.text(), SECONDS, "log"
        )
        for connection in crowd[:-1]:
            connection.close()
        crowd[-1].send(request(*GOOD))
        assert crowd[-1].read_until(b"\r\n\r\n") == SWITCHING
        crowd[-1].close()
        assert gateway.child.text().count("accepts nobody") <= len(crowd), "thousands if it span"
        assert gateway.stop() == 0
        gateway.assert_clean_log({})
    finally:
        gateway.close()


# -- PROXY ----------------------------------------------------------------------------------------

PROXY_IN = "{use_proxy_protocol, true}, {upstream_proxy_protocol, v1}, "


def v2(body: bytes, command: int = 0x21, family: int = 0x11) -> bytes:
    return V2_SIGNATURE + bytes((command, family)) + len(body).to_bytes(2, "big") + body


IPV4_BODY = (
    bytes((192, 0, 2, 7)) + bytes((127, 0, 0, 1)) + (4711).to_bytes(2, "big") + (443).to_bytes(2, "big")
)
IPV6_BODY = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "::1")
    + (4711).to_bytes(2, "big")
    + (443).to_bytes(2, "big")
)
V1 = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n"


@pytest.fixture(scope="module")
def behind_proxy(start_edge: StartEdge) -> Gateway:
    return start_edge(ws_options=PROXY_IN, top_level='{trusted_proxies, ["192.0.2.0/25"]}.\n')


def told_upstream(gateway: Gateway, xmpp_server: XmppServer, header: bytes, *headers: str) -> bytes:
    """The PROXY line that the XMPP server gets from a session that began with ``header``."""
    connection = connect(gateway.ws_port)
    connection.send(header + request(*GOOD, *headers) + frame(OPEN))
    assert connection.read_until(b"\r\n\r\n") == SWITCHING
    server = xmpp_server.accept()
    line = server.read_until(b"\r\n")
    assert server.read_until(b"<stream:stream")
    server.close()
    connection.close()
    return line


#: Python 3.13 has another spelling for it.
MAPPED = str(IPv6Address("::ffff:127.0.0.1")).encode()


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (V1, b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 "),
        (v2(IPV4_BODY), b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 "),
        (v2(IPV4_BODY + b"\x04\x00\x02xy"), b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 "),
        (v2(IPV6_BODY, family=0x21), b"PROXY TCP6 2001:db8::7 %s 4711 " % MAPPED),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n", b"PROXY TCP6 2001:db8::7 %s 4711 " % MAPPED),
        (v2(b"", command=0x20, family=0), b"PROXY TCP4 127.0.0.1 127.0.0.1 "),
        (b"PROXY UNKNOWN\r\n", b"PROXY TCP4 127.0.0.1 127.0.0.1 "),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", b"PROXY TCP4 127.0.0.1 127.0.0.1 "),
    ],
)
def test_proxy_header(behind_proxy: Gateway, xmpp_server: XmppServer, header: bytes, told: bytes) -> None:
    assert told_upstream(behind_proxy, xmpp_server, header).startswith(told)


@pytest.mark.parametrize(
    ("source", "forwarded", "client"),
    [
        ("192.0.2.7", "203.0.113.5", b"203.0.113.5"),
        ("192.0.2.7", "198.51.100.1, 203.0.113.5, 192.0.2.9", b"203.0.113.5"),
        ("192.0.2.200", "203.0.113.5", b"192.0.2.200"),
        ("192.0.2.7", "nonsense", b"192.0.2.7"),
        ("192.0.2.7", "203.0.113.5, nonsense, 192.0.2.9", b"192.0.2.9"),
    ],
)
def test_proxy_header_and_forwarded_for(
    behind_proxy: Gateway, xmpp_server: XmppServer, source: str, forwarded: str, client: bytes
) -> None:
    line = f"PROXY TCP4 {source} 127.0.0.1 4711 443\r\n".encode()
    told = told_upstream(behind_proxy, xmpp_server, line, *from_(forwarded))
    assert told.split(b" ")[2] == client


@pytest.mark.parametrize("header", [V1, v2(IPV4_BODY)], ids=["v1", "v2"])
def test_proxy_header_split_anywhere(behind_proxy: Gateway, header: bytes) -> None:
    data = header + request(*GOOD)
    connections = []
    for cut in range(1, len(header) + 2):
        connection = connect(behind_proxy.ws_port)
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.send(data[:cut])
        connections.append((cut, connection))
    for cut, connection in connections:
        connection.send(data[cut:])
        assert connection.read_until(b"\r\n\r\n") == SWITCHING, cut
        connection.close()


@pytest.mark.parametrize("header", [V1, v2(IPV4_BODY)], ids=["v1", "v2"])
def test_tls_after_the_proxy_header(behind_proxy: Gateway, context: ssl.SSLContext, header: bytes) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    connection = connect(behind_proxy.wss_port)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    connection.send(header + outgoing.read())  # in one segment, as haproxy does
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            incoming.write(connection.socket.recv(65536))
    tls.write(request(*GOOD))
    connection.send(outgoing.read())
    plain = b""
    while b"\r\n\r\n" not in plain:
        try:
            plain += tls.read(65536)
        except ssl.SSLWantReadError:
            data = connection.socket.recv(65536)
            assert data, plain
            incoming.write(data)
    assert plain == SWITCHING
    connection.close()


@pytest.mark.parametrize(
    "garbage",
    [
        request(*GOOD),
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 192.0.2.7 127.0.0.1 70000 443\r\n",
        b"PROXY TCP4 2001:db8::7 ::1 4711 443\r\n",
        b"PROXY TCP4 " + b"1" * 200,
        v2(IPV4_BODY, command=0x31),
        v2(IPV4_BODY, command=0x2F),
        v2(IPV4_BODY[:5]),
        V2_SIGNATURE + b"\x21\x11\xff\xff",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_no_proxy_header(behind_proxy: Gateway, garbage: bytes) -> None:
    """It is not waited for: the deadline of a read is half of ``handshake_timeout``."""
    assert answer(behind_proxy.ws_port, garbage) == b""


def test_slow_proxy_header(start_edge: StartEdge) -> None:
    hasty = start_edge(ws_options=PROXY_IN + "{handshake_timeout, 1}, ")
    assert answer(hasty.ws_port, V1[:20]) == b""


def test_proxy_header_2_for_the_server(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    gateway = start_edge(ws_options="{upstream_proxy_protocol, v2}, ")
    browser = Browser(gateway.ws_port, headers=from_("192.0.2.7"), first=frame(OPEN))
    server = xmpp_server.accept()
    head = server.read(16 + 12)
    assert head[:16] == V2_SIGNATURE + b"\x21\x11\x00\x0c"
    assert head[16:20] == bytes((192, 0, 2, 7))
    assert server.read_until(b"<stream:stream")
    server.close()
    browser.close()
    browser = Browser(gateway.ws_port, headers=from_("2001:db8::7"), first=frame(OPEN))
    server = xmpp_server.accept()
    head = server.read(16 + 36)
    assert head[:16] == V2_SIGNATURE + b"\x21\x21\x00\x24"
    assert head[16:32] == socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    assert head[32:48] == socket.inet_pton(socket.AF_INET6, "::ffff:127.0.0.1")
    server.close()
    browser.close()
