"""The response to a refused request."""

from __future__ import annotations

from wsgw.errors import HandshakeRefused, PageAnswer
from wsgw.errors.refusals import HOST_META
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


def test_a_page_has_its_media_type_and_its_bytes() -> None:
    page = PageAnswer(HOST_META, 200, "OK", [("Content-Type", "image/png")], b"\x89\xff")
    expected = (
        b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nX-Content-Type-Options: nosniff\r\n"
        b"Content-Length: 2\r\nConnection: close\r\n\r\n\x89\xff"
    )
    assert refusal_bytes(page) == expected
    protected = [*page.headers, ("X-Content-Type-Options", "nosniff")]
    assert refusal_bytes(PageAnswer(HOST_META, 200, "OK", protected, page.body)) == expected


def test_a_page_that_has_not_changed_has_neither_body_nor_length() -> None:
    page = PageAnswer(HOST_META, 304, "Not Modified", [("ETag", '"1"')])
    assert refusal_bytes(page) == b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nConnection: close\r\n\r\n'
