"""Steady load on a gateway: a stub XMPP server that echoes, and sessions with one message in flight each.

Run as a program: ``python echo_load.py serve`` is the stub, ``python echo_load.py drive URL-PORT SESSIONS
SECONDS`` the clients; it prints one JSON object with the counts of sent and received messages.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time

HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    b" id='1' from='localhost' version='1.0'>"
)
FEATURES = b"<stream:features/>"
LOGGED_IN = b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
OPEN = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>"
MESSAGE = b"<message xmlns='jabber:client' to='b@localhost' type='chat'><body>%s</body></message>"
BODY = b"x" * 100


async def serve() -> None:
    """Answer every stream with header, features and a success; then return every byte."""

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"version='1.0'>")
            writer.write(HEADER + FEATURES + LOGGED_IN)
            while data := await reader.read(65536):
                writer.write(data)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(session, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def masked_text(payload: bytes) -> bytes:
    """A text frame as a client sends it."""
    mask = os.urandom(4)
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    body = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(len(payload), "big")
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return b"\x81" + length + mask + body


async def read_text(reader: asyncio.StreamReader) -> bytes:
    """The next text message; pings are skipped."""
    while True:
        first, size = await reader.readexactly(2)
        if size == 126:
            size = int.from_bytes(await reader.readexactly(2), "big")
        payload = await reader.readexactly(size)
        if first == 0x81:
            return payload
        if first == 0x88:
            raise ConnectionError(f"closed: {payload!r}")


async def one_session(port: int, until: float, counts: dict[str, int]) -> None:
    """Log in, then send the next message when the previous one has come back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16))
    writer.write(
        b"GET /ws-xmpp HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: xmpp\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n" % key
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    writer.write(masked_text(OPEN))
    for _ in range(3):
        await read_text(reader)
    message = MESSAGE % BODY
    frame = masked_text(message)
    while time.monotonic() < until:
        writer.write(frame)
        counts["sent"] += 1
        answer = await read_text(reader)
        if answer == message:
            counts["received"] += 1
        else:
            counts["errors"] += 1
    writer.close()


async def drive(port: int, sessions: int, seconds: float) -> None:
    """Run the sessions at the same time, and print the books."""
    counts = {"sent": 0, "received": 0, "errors": 0}
    until = time.monotonic() + seconds
    results = await asyncio.gather(
        *(one_session(port, until, counts) for _ in range(sessions)), return_exceptions=True
    )
    counts["errors"] += sum(isinstance(result, BaseException) for result in results)
    print(json.dumps(counts | {"seconds": seconds, "sessions": sessions}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    else:
        asyncio.run(drive(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
