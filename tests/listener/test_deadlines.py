"""How long a TLS handshake and a request head may take."""

from __future__ import annotations

import socket
import ssl

import pytest

from tests.listener.heads import GOOD, answer, refusal, request
from tests.support.gateway import Gateway
from tests.support.wire import Connection


@pytest.mark.slow
@pytest.mark.parametrize("begun", [b"", b"GET /ws-xm", request(*GOOD)[:-2]], ids=["nothing", "line", "head"])
def test_a_slow_head_is_ended(hasty: Gateway, begun: bytes) -> None:
    assert answer(hasty.ws_port, begun) == refusal(408, "Request Timeout")


@pytest.mark.slow
def test_a_slow_head_over_tls_is_ended(hasty: Gateway, context: ssl.SSLContext) -> None:
    with context.wrap_socket(
        socket.create_connection(("127.0.0.1", hasty.wss_port)), server_hostname="localhost"
    ) as sock:
        connection = Connection(sock)
        connection.send(b"GET ")
        assert connection.read_to_end() == refusal(408, "Request Timeout")


@pytest.mark.rule("fault-15")
@pytest.mark.slow
@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"], ids=["nothing", "some"])
def test_a_slow_tls_handshake_is_ended(hasty: Gateway, begun: bytes) -> None:
    assert answer(hasty.wss_port, begun) == b""
