"""The response to a refused request."""

from __future__ import annotations

from wsgw.errors import HandshakeRefused
from wsgw.opening.response import refusal_bytes


def test_a_response_has_its_length_and_ends_the_connection() -> None:
    assert refusal_bytes(HandshakeRefused(503, "Service Unavailable")) == (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )


def test_a_response_to_head_has_no_body() -> None:
    refusal = HandshakeRefused(400, "Bad request", body="advice")
    head, body = refusal_bytes(refusal).split(b"\r\n\r\n")
    assert body == b"advice"
    assert b"Content-Length: 6" in head
    assert refusal_bytes(refusal, "HEAD") == head + b"\r\n\r\n"


def test_a_response_with_upgrade_names_it_in_connection() -> None:
    refusal = HandshakeRefused(426, "Upgrade required", headers=(("Upgrade", "websocket"),))
    assert b"\r\nUpgrade: websocket\r\n" in refusal_bytes(refusal)
    assert b"\r\nConnection: close, Upgrade\r\n" in refusal_bytes(refusal)
