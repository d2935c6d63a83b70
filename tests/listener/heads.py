"""Requests, good and changed, and the edge's answers to them."""

from __future__ import annotations

import base64
import hashlib
import socket

from tests.support.wire import OPENINGS, SECONDS, Connection
from wsgw.opening.advice import UPGRADE_LOST, WELCOME

OPEN = OPENINGS["rfc7395"]

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

TEXT = ("Content-Type: text/plain; charset=utf-8", "X-Content-Type-Options: nosniff")


def connect(port: int, host: str = "127.0.0.1") -> Connection:
    return Connection(socket.create_connection((host, port), SECONDS))


def request(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def changed(number: int, *lines: str) -> bytes:
    """The good request with line ``number`` replaced by ``lines``."""
    return request(*GOOD[:number], *lines, *GOOD[number + 1 :])


def answer(port: int, data: bytes) -> bytes:
    """The whole answer; an RST instead of the FIN is an OSError."""
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


#: Errors that a proxy may have caused; their answer says what to change in the proxy.
LOST = (
    "Bad request: 'Connection' header doesn't include 'upgrade'",
    "Bad request: 'Upgrade' header doesn't include 'websocket'",
    "Bad request: need HTTP/1.1 or higher",
)


def expected_refusal(status: int, phrase: str) -> bytes:
    headers = ("Sec-WebSocket-Version: 13", "Upgrade: websocket") if status == 426 else ()
    return refusal(status, phrase, *headers, body=UPGRADE_LOST if phrase in LOST else "")


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

PLAIN = ("GET /ws-xmpp HTTP/1.1", "Host: localhost")
WELCOMED = refusal(200, "OK", "Cache-Control: no-store", body=WELCOME)


def from_(address: str) -> tuple[str, ...]:
    return (f"X-Forwarded-For: {address}",)
