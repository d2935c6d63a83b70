"""Limits of sessions, connects and descriptors, and the client that each is counted for."""

from __future__ import annotations

from functools import partial

import pytest

from tests.listener.heads import (
    GOOD,
    PLAIN,
    accepts,
    answer,
    changed,
    from_,
    refusal,
    request,
)
from tests.support.edges import StartEdge
from tests.support.processes import wait_until
from tests.support.wire import SECONDS, Browser, upgrade_request


@pytest.mark.rule("end-full")
def test_max_sessions_per_ip_limits_each_address(start_edge: StartEdge) -> None:
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


@pytest.mark.rule("end-full", "fault-15")
def test_max_sessions_limits_all_clients(start_edge: StartEdge) -> None:
    port = start_edge(ws_options="{max_sessions, 3}, ").ws_port
    browsers: list[Browser] = []

    def let_in(*headers: str) -> bool:
        """One browser more; a connection that tested the open port may still be counted."""
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


def test_max_connect_rate_per_ip_limits_each_address(start_edge: StartEdge) -> None:
    port = start_edge(ws_options="{max_connect_rate_per_ip, {0.001, 2}}, ").ws_port
    again = upgrade_request(headers=from_("192.0.2.1"))
    assert accepts(port, again)
    assert accepts(port, again)
    expected = refusal(503, "Service Unavailable: too many connections from your address", "Retry-After: 1")
    assert answer(port, again) == expected
    assert accepts(port, upgrade_request(headers=from_("192.0.2.2")))
    assert all(accepts(port, upgrade_request()) for _ in range(4)), "loopback has no limit"


#: Each is refused at another place of the code.
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
    "unsupported version of HTTP": changed(0, "GET /ws-xmpp HTTP/2.0"),
    "no request line": changed(0, "hello"),
    "many lines": request(*GOOD, *("X: y" for _ in range(120))),
    "a large head": request(*GOOD, "X: " + "x" * 20_000),
    "a long request line": changed(0, f"GET /{'x' * 9000} HTTP/1.1"),
    "a longer request line": changed(0, f"GET /{'x' * 20_000} HTTP/1.1"),
}


@pytest.mark.parametrize("head", REFUSED_HEADS.values(), ids=REFUSED_HEADS)
def test_refused_requests_count_for_the_client_behind_a_proxy(start_edge: StartEdge, head: bytes) -> None:
    """The proxy adds its line at the end, as haproxy does, after the forged line of the client."""
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


def test_an_incomplete_head_counts_for_no_other_client(start_edge: StartEdge) -> None:
    """A head without its end does not name the client: the proxy's line may be missing."""
    port = start_edge(ws_options="{max_connect_rate_per_ip, {0.001, 2}}, ").ws_port
    forged = upgrade_request(headers=from_("203.0.113.78"))[:-2] + b"X: " + b"x" * 100_000
    for _ in range(3):
        assert answer(port, forged).startswith(b"HTTP/1.1 431 ")
    assert accepts(port, upgrade_request(headers=from_("203.0.113.78")))
