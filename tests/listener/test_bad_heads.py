"""Bytes that are no request head: too long, another protocol, malformed."""

from __future__ import annotations

import pytest

from tests.listener.heads import GOOD, SWITCHING, accepts, answer, changed, connect, refusal, request
from tests.support.edges import StartEdge
from tests.support.gateway import Gateway
from wsgw.opening.advice import HTTP2


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
def test_a_head_that_is_too_large_is_refused(edge: Gateway, head: bytes) -> None:
    assert answer(edge.ws_port, head) == refusal(431, "Request Header Fields Too Large")


def test_an_endless_header_is_refused(edge: Gateway) -> None:
    data = request(*GOOD)[:-2] + b"X-Endless: " + b"x" * 500_000
    assert answer(edge.ws_port, data) == refusal(431, "Request Header Fields Too Large")


def test_a_header_line_too_long_for_the_parser_is_refused(start_edge: StartEdge) -> None:
    port = start_edge(ws_options="{max_header_size, 200000}, ").ws_port
    assert accepts(port, request(*GOOD, "X-Long: " + "x" * 60_000))
    got = answer(port, request(*GOOD, "X-Long: " + "x" * 70_000))
    assert got == refusal(431, "Request Header Fields Too Large")


@pytest.mark.parametrize("size", [8_192, 12_000, 20_000, 200_000])
def test_a_request_line_that_is_too_long_is_refused(edge: Gateway, size: int) -> None:
    got = answer(edge.ws_port, changed(0, f"GET /{'x' * size} HTTP/1.1"))
    assert got == refusal(414, "URI Too Long")


def test_a_request_line_without_end_is_refused(edge: Gateway) -> None:
    assert answer(edge.ws_port, b"G" * 100_000) == refusal(414, "URI Too Long")


@pytest.mark.rule("6455-4.2.1")
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
def test_garbage_is_refused(edge: Gateway, garbage: bytes) -> None:
    assert answer(edge.ws_port, garbage) == refusal(400, "Bad request")


@pytest.mark.rule("9110-7.8")
def test_http_2_is_refused(edge: Gateway) -> None:
    """From a proxy that is configured to speak HTTP/2 without asking."""
    got = answer(edge.ws_port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert got == refusal(400, "Bad request", body=HTTP2)


@pytest.mark.rule("9112-2.2")
@pytest.mark.parametrize("split", [1, 2, 3, 10])
def test_one_empty_line_before_the_request_is_skipped(edge: Gateway, split: int) -> None:
    connection = connect(edge.ws_port)
    head = b"\r\n" + request(*GOOD)
    connection.send(head[:split])
    connection.send(head[split:])
    assert connection.read_until(b"\r\n\r\n") == SWITCHING
    connection.close()


def test_other_control_characters_in_a_value_end_no_line(edge: Gateway) -> None:
    """No parser takes them for line ends; they are refused only where they could do harm."""
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
    """Before the first line has ended, which may never happen."""
    connection = connect(edge.ws_port)
    connection.send(first)
    assert connection.read_to_end() == refusal(400, "Bad request")
    connection.close()


@pytest.mark.parametrize("line", ["no colon", "Name : value", ": no name", "X-\xff: y"])
def test_a_malformed_header_is_refused(edge: Gateway, line: str) -> None:
    got = answer(edge.ws_port, request(*GOOD, line))
    assert got == refusal(400, "Bad request: malformed header")


def test_http_0_9_is_refused(edge: Gateway) -> None:
    got = answer(edge.ws_port, b"GET /ws-xmpp\r\n\r\n")
    assert got == refusal(400, "Bad request: need HTTP/1.1 or higher")


def test_nothing_at_all(edge: Gateway) -> None:
    connection = connect(edge.ws_port)
    connection.fin()
    assert connection.read_to_end() == b""
    connection.close()
