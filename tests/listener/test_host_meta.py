"""Requests for host-meta at a listener, next to its WebSocket."""

from __future__ import annotations

import signal

import pytest

from tests.listener.heads import GOOD, accepts, answer, connect, refusal, request
from tests.support.edges import StartEdge
from tests.support.gateway import Gateway
from tests.support.processes import wait_until
from tests.support.wire import CLOSE, SECONDS, Browser

CONFIG = """\
{{hosts, ["localhost", "example.org"]}}.
{{workers, 1}}.
{{drain_timeout, 1}}.
{{listen, [
  {{{c2s_port}, ejabberd_c2s, []}},
  {{{ws_port}, websocket_session, [
    {{ip, {{127,0,0,1}}}},
    {{max_connect_rate_per_ip, 1000}},
    {{request_handlers, [{{"/", mod_websocket}}, {{"/.well-known", mod_host_meta}}]}}
  ]}},
  {{{wss_port}, websocket_session, [
    {{ip, {{127,0,0,1}}}},
    {{tls, true}},
    {{certfile, "{certfile}"}},
    {{request_handlers, [{{"/ws-xmpp", mod_websocket}}]}}
  ]}}
]}}.
"""
OPTIONS = "GET, HEAD, OPTIONS"


@pytest.fixture(scope="module")
def pages(start_edge: StartEdge) -> Gateway:
    return start_edge(config=CONFIG)


def page(gateway: Gateway, host: str) -> str:
    url = f"wss://{host}:{gateway.wss_port}/ws-xmpp"
    return f"""\
<?xml version="1.0" encoding="utf-8"?>
<XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0">
  <Link rel="urn:xmpp:alt-connections:websocket" href="{url}"/>
</XRD>
"""


@pytest.mark.rule("xep-0156", "xep-0156-host", "xep-0156-cors")
@pytest.mark.parametrize("host", ["localhost", "example.org"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_each_host_gets_its_page(pages: Gateway, host: str, version: str) -> None:
    lines = (f"/.well-known/host-meta HTTP/{version}", f"Host: {host}:{pages.ws_port}")
    full = answer(pages.ws_port, request(f"GET {lines[0]}", lines[1]))
    body = page(pages, host).encode()
    assert (
        full
        == request(
            "HTTP/1.1 200 OK",
            "Access-Control-Allow-Origin: *",
            "Cache-Control: public, max-age=3600",
            "Content-Type: application/xrd+xml",
            "X-Content-Type-Options: nosniff",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        + body
    )
    assert answer(pages.ws_port, request(f"HEAD {lines[0]}", lines[1])) + body == full


@pytest.mark.rule("xep-0156")
def test_the_page_in_json(pages: Gateway) -> None:
    head, body = answer(
        pages.ws_port, request("GET /.well-known/host-meta.json?x HTTP/1.1", "Host: localhost")
    ).split(b"\r\n\r\n")
    assert b"\r\nContent-Type: application/json\r\n" in head
    assert f'"href": "wss://localhost:{pages.wss_port}/ws-xmpp"'.encode() in body


@pytest.mark.rule("xep-0156-host", "xep-0156-cors")
@pytest.mark.parametrize(
    ("lines", "status", "phrase", "headers"),
    [
        (("GET /.well-known/host-meta HTTP/1.1", "Host: unknown"), 404, "Not found", ()),
        (
            ("POST /.well-known/host-meta HTTP/1.1", "Host: localhost"),
            405,
            "Method Not Allowed",
            (f"Allow: {OPTIONS}",),
        ),
        (
            ("OPTIONS /.well-known/host-meta HTTP/1.1", "Host: localhost", "Origin: https://a.example"),
            200,
            "OK",
            (
                f"Allow: {OPTIONS}",
                f"Access-Control-Allow-Methods: {OPTIONS}",
                "Access-Control-Allow-Headers: *",
            ),
        ),
    ],
)
def test_other_requests_of_the_page(
    pages: Gateway, lines: tuple[str, ...], status: int, phrase: str, headers: tuple[str, ...]
) -> None:
    expected = refusal(status, phrase, "Access-Control-Allow-Origin: *", "Cache-Control: no-store", *headers)
    assert answer(pages.ws_port, request(*lines)) == expected


def test_a_request_with_a_body_is_refused(pages: Gateway) -> None:
    lines = ("GET /.well-known/host-meta HTTP/1.1", "Host: localhost", "Content-Length: 3")
    assert answer(pages.ws_port, request(*lines)) == refusal(400, "Bad request: unexpected body")


@pytest.mark.rule("9112-2.2")
@pytest.mark.parametrize(
    ("field", "status"),
    [
        ("Connection: keep-alive", 200),
        ("Content-Length: 0", 200),
        ("Content-Length: 72", 400),
        ("Transfer-Encoding: chunked", 400),
    ],
)
def test_the_bytes_after_a_request_of_the_page_are_no_request(
    pages: Gateway, field: str, status: int
) -> None:
    """One connection has one answer, so that no proxy gives a second one to another client."""
    first, second = (
        request("GET /.well-known/host-meta HTTP/1.1", f"Host: {host}", field)
        for host in ("localhost", "example.org")
    )
    got = answer(pages.ws_port, first + second)
    assert got.startswith(b"HTTP/1.1 %d " % status)
    assert got.count(b"HTTP/1.1 ") == got.count(b"\r\nConnection: close\r\n") == 1


def test_the_websocket_next_to_it_works(pages: Gateway) -> None:
    assert accepts(pages.ws_port, request("GET /any HTTP/1.1", *GOOD[1:]))
    assert accepts(pages.ws_port, request("GET /.well-known/other HTTP/1.1", *GOOD[1:]))


def test_a_listener_without_the_handler_has_no_page(edge: Gateway) -> None:
    lines = ("GET /.well-known/host-meta HTTP/1.1", "Host: localhost")
    assert answer(edge.ws_port, request(*lines)).startswith(b"HTTP/1.1 400 ")


def test_no_request_of_the_page_is_a_line_in_the_log(start_edge: StartEdge) -> None:
    gateway = start_edge(config=CONFIG, fresh=True)
    for host in ("localhost", "unknown"):
        answer(gateway.ws_port, request("GET /.well-known/host-meta HTTP/1.1", f"Host: {host}"))
    answer(gateway.ws_port, request("GET /ws-xmpp HTTP/1.1", "Host: localhost", "Upgrade: websocket"))
    wait_until(lambda: "upgrade refused" in gateway.log.read_text(), SECONDS, "the line of the last request")
    assert "host-meta" not in gateway.log.read_text()


@pytest.mark.slow
def test_the_page_is_served_while_the_gateway_stops(start_edge: StartEdge) -> None:
    """Another gateway may serve the address that it names."""
    gateway = start_edge(config=CONFIG.replace("{{drain_timeout, 1}}", "{{drain_timeout, 20}}"), fresh=True)
    browser = Browser(gateway.ws_port)
    late = connect(gateway.ws_port)
    late.send(b"GET /.well-known/host-meta HTTP/1.1\r\nHost: localhost\r\n")
    gateway.child.signal(signal.SIGTERM)
    while browser.frame()[0] != CLOSE:
        pass
    late.send(b"\r\n")
    assert late.read_to_end().startswith(b"HTTP/1.1 200 OK\r\n")
    late.close()
    browser.close()
    assert gateway.child.wait(40) == 0
