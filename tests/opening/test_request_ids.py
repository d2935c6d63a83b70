"""``X-Request-ID`` and ``traceparent``, of trusted proxies only."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from wsgw.opening.client_address import TrustedProxies
from wsgw.opening.request_ids import request_ids

TRUSTED = TrustedProxies([ip_network("192.0.2.0/25")])
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADERS = [("x-request-ID", "a1"), ("Traceparent", TRACE)]


@pytest.mark.rule("trace-context")
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "192.0.2.7", "::ffff:192.0.2.7", ""])
def test_a_trusted_proxy_names_the_request(peer: str) -> None:
    """Also one on a Unix socket, which has no address."""
    assert request_ids(peer, HEADERS, TRUSTED) == ("a1", TRACE)
    assert request_ids(peer, [], TRUSTED) == (None, None)


@pytest.mark.rule("trace-context")
@pytest.mark.parametrize("peer", ["192.0.2.200", "2001:db8::7"])
def test_an_untrusted_peer_does_not(peer: str) -> None:
    assert request_ids(peer, HEADERS, TRUSTED) == (None, None)
    assert request_ids(peer, HEADERS, TrustedProxies(trust_all=True)) == ("a1", TRACE)


@pytest.mark.parametrize(
    "value",
    [
        "9F8E7D6C-5b4a-4c3d-8e2f-1a0b9c8d7e6f",
        "7F000001:8296_7F00001E:1F90_4F7B0A69_0003:790E",
        "Root=1-67891233-abcdef012345678912345678",
        "dGVzdA+/==",
        "x" * 128,
    ],
)
def test_the_ids_in_use_are_taken(value: str) -> None:
    assert request_ids("::1", [("X-Request-ID", value)], TRUSTED) == (value, None)


@pytest.mark.rule("trace-context")
@pytest.mark.parametrize(
    "value",
    ["", "x" * 129, "a b", 'a"', "a\n", "a\x1b[31m", "a=1;b", "a,b", "{a}", "\xe9", "\u202e", "\u0661"],
)
def test_other_values_are_ignored(value: str) -> None:
    headers = [("X-Request-ID", value), ("traceparent", TRACE)]
    assert request_ids("::1", headers, TRUSTED) == (None, TRACE)


@pytest.mark.rule("trace-context")
def test_a_header_that_is_sent_twice_is_ignored() -> None:
    """Nothing tells which of the two is the proxy's."""
    headers = [("X-Request-ID", "client"), ("x-request-id", "proxy"), ("traceparent", TRACE)]
    assert request_ids("::1", headers, TRUSTED) == (None, TRACE)
