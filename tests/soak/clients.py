"""The browsers of the soak: ``python -m tests.soak.clients WS-PORT WSS-PORT CA SECONDS FIRST-NUMBER BOOKS``.

Keeps a population of sessions for SECONDS, each with a plan computed from its number, then lets them end.
Writes a line of JSON for each session to the file BOOKS, and a last one with totals to standard output.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import random
import ssl
import sys
import time
from collections import Counter
from pathlib import Path
from typing import IO, Any

from tests.soak.reset import reset
from tests.soak.script import CLOSINGS, STREAMS, browser_form, pause_share, stanza

SESSIONS, INTRUDERS = 24, 4
#: For any step of a gateway that works, in seconds.
PATIENCE = 25.0

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_OPENINGS = {
    "rfc7395": b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' from='%s' version='1.0'/>",
    "legacy": b"<stream:stream to='localhost' xmlns='jabber:client' xmlns:stream='" + STREAMS + b"'"
    b" from='%s' version='1.0'>",
}
_TRAFFIC = ("chat", "chat", "burst", "fragments", "slow reader")
_MODES = ("chat", "chat", "burst", "slow", "stall", "ends", "error", "dies")
_ENDINGS = ("close", "close", "close", "fin", "rst", "close frame", "cut frame", "bad frame", "bad xml")


def client_frame(payload: bytes, opcode: int = _TEXT, fin: bool = True) -> bytes:
    size = len(payload)
    mask = os.urandom(4)
    key = (mask * (size // 4 + 1))[:size]
    body = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 1 << 16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes((0x80 * fin | opcode,)) + length + mask + body


class Session:
    """One browser with a plan; a slow reader's pauses take ``share`` of their time."""

    def __init__(self, number: int, share: float) -> None:
        self._share = share
        chance = self.chance = random.Random(number)
        self.framing = chance.choice(("rfc7395", "legacy"))
        self.secure = chance.random() < 0.4
        self.traffic = chance.choice(_TRAFFIC)
        self.mode = chance.choice(_MODES)
        self.ending = chance.choice(_ENDINGS)
        if self.mode == "stall" and self.ending == "close":
            self.ending = "fin"  # the client does not wait for a server that does not read
        self.up = chance.choice((0, 5, 30, 200 if self.traffic == "burst" else 40))
        down = chance.choice((0, 5, 40, 400 if self.mode == "burst" else 60))
        self.name = f"{number}-{self.framing}-{self.mode}-{down}"
        self.sent = self.received = 0
        self.opened = self.answered = self.left = False
        self.error = self.mismatch = ""
        self.code = 0
        self.how = ""

    # -- its life --------------------------------------------------------------------------------

    async def run(self, ports: tuple[int, int], context: ssl.SSLContext) -> None:
        try:
            await asyncio.wait_for(self._connect(ports, context), PATIENCE)
        except (asyncio.TimeoutError, OSError, asyncio.IncompleteReadError, ssl.SSLError) as error:
            self.mismatch = f"no WebSocket: {error!r}"
            return
        reading = asyncio.create_task(self._read())
        try:
            await asyncio.wait_for(self._live(reading), 2 * PATIENCE)
        except asyncio.TimeoutError:
            self.mismatch = self.mismatch or f"hangs: {self.how or 'talking'}"
        except (OSError, ssl.SSLError) as error:
            self.how = self.how or repr(error)
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
            self.writer.transport.abort()

    async def _connect(self, ports: tuple[int, int], context: ssl.SSLContext) -> None:
        if self.secure:
            target: dict[str, Any] = {"port": ports[1], "ssl": context, "server_hostname": "localhost"}
        else:
            target = {"port": ports[0]}
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", limit=65536, **target)
        key = base64.b64encode(os.urandom(16))
        self.writer.write(
            b"GET /ws-xmpp HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: xmpp\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n"
            % key
        )
        self.writer.write(client_frame(_OPENINGS[self.framing] % self.name.encode()))
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise OSError(head)

    async def _live(self, reading: asyncio.Task[None]) -> None:
        while not self.opened and not reading.done():
            await asyncio.sleep(0.02)
        talking = asyncio.create_task(self._talk())
        await asyncio.wait((talking, reading), return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            talking.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await talking
            await reading
            return
        await talking
        await asyncio.sleep(self.chance.random())
        if self.ending in ("close", "bad frame", "bad xml", "close frame"):
            await reading
        else:
            self.left = True

    async def _talk(self) -> None:
        while self.sent < self.up:
            element = stanza(self.name, "up", self.sent)
            self.sent += 1
            self.writer.write(
                self._fragments(element) if self.traffic == "fragments" else client_frame(element)
            )
            if self.traffic != "burst":
                await self.writer.drain()
                await asyncio.sleep(self.chance.random() / 20)
        await self.writer.drain()
        await self._leave()

    def _fragments(self, element: bytes) -> bytes:
        """Up to 64 frames, cut anywhere, with pings between them."""
        places = sorted(self.chance.randrange(len(element) + 1) for _ in range(self.chance.randint(0, 63)))
        pieces = [element[start:end] for start, end in zip([0, *places], [*places, None], strict=True)]
        data = b""
        for index, piece in enumerate(pieces):
            data += client_frame(piece, 0 if index else _TEXT, index == len(pieces) - 1)
            if self.chance.random() < 0.1:
                data += client_frame(b"between", _PING)
        return data

    async def _leave(self) -> None:
        self.how = self.ending
        write = self.writer.write
        match self.ending:
            case "close":
                write(client_frame(CLOSINGS[self.framing]))
            case "close frame":
                write(client_frame(b"\x03\xe9", _CLOSE))
            case "cut frame":
                write(client_frame(b"<message>" + b"x" * 500)[:300])
                await self._reset()
            case "bad frame":
                write(b"\x81\x05hello")
            case "bad xml":
                write(client_frame(b"<message><body></message>"))
            case "rst":
                await self._reset()
            case "fin":
                self.left = True
                self.writer.close()

    async def _reset(self) -> None:
        self.left = True
        await asyncio.sleep(0.05)
        reset(self.writer)

    # -- received messages --------------------------------------------------------------------------

    async def _read(self) -> None:
        messages = itertools.count()
        try:
            while True:
                opcode, payload = await self._frame()
                if opcode == _TEXT:
                    self._heard(next(messages), payload)
                elif opcode == _PING:
                    self.writer.write(client_frame(payload, _PONG))
                elif opcode == _CLOSE:
                    self.code = int.from_bytes(payload[:2], "big")
                    self.writer.write(client_frame(payload, _CLOSE))
                if self.traffic == "slow reader" and self.chance.random() < 0.03:
                    await asyncio.sleep(2 * self._share)
        except (asyncio.IncompleteReadError, OSError, ssl.SSLError):
            self.how = self.how or "end"

    async def _frame(self) -> tuple[int, bytes]:
        first, size = await self.reader.readexactly(2)
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self.reader.readexactly(8), "big")
        return first & 0x0F, await self.reader.readexactly(size)

    def _heard(self, index: int, message: bytes) -> None:
        if message.startswith(b"<stream:error"):
            self.error = message[message.index(b"><") + 2 :].split(b" ")[0].decode()
        elif message.startswith((b"<close ", b"</stream:stream>")):
            self.answered = self.how == "close" and not self.error
        elif index < 3:
            self.opened = index == 2
        elif message == browser_form(stanza(self.name, "down", self.received), self.framing):
            self.received += 1
        else:
            self.mismatch = self.mismatch or f"stanza {self.received}: {message[:200]!r}"

    def books(self) -> str:
        """The JSON line of the session."""
        return json.dumps(
            {
                "name": self.name,
                "transport": "wss" if self.secure else "ws",
                "framing": self.framing,
                "traffic": self.traffic,
                "mode": self.mode,
                "ending": self.ending,
                "opened": self.opened,
                "sent": self.sent,
                "received": self.received,
                "how": self.how,
                "left": self.left,
                "answered": self.answered,
                "error": self.error,
                "code": self.code,
                "mismatch": self.mismatch,
            }
        )


# -- connections that never become a session -------------------------------------------------------------

_GARBAGE = (
    b"",
    b"GET /ws-xmpp HTTP/1.1\r\nHost: loc",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /ws-xmpp HTTP/1.0\r\n\r\n",
    b"\x00" * 5000,
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
)


async def _read_to_end(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


async def intrude(chance: random.Random, ports: tuple[int, int]) -> None:
    """A half-open handshake or garbage, on either listener; given up at some moment, or by the gateway."""
    with contextlib.suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection("127.0.0.1", chance.choice(ports))
        try:
            writer.write(chance.choice(_GARBAGE))
            await asyncio.wait_for(_read_to_end(reader), chance.random() * 6)
        finally:
            if chance.random() < 0.5:
                reset(writer)
            writer.transport.abort()


async def main(ws: int, wss: int, ca: str, seconds: float, first: int, path: str) -> None:
    context = ssl.create_default_context(cafile=ca)
    until = time.monotonic() + seconds
    numbers = itertools.count(first)
    counts: Counter[str] = Counter()

    async def sessions(books: IO[str]) -> None:
        while time.monotonic() < until:
            session = Session(next(numbers), pause_share(seconds))
            await session.run((ws, wss), context)
            print(session.books(), file=books, flush=True)
            if not session.opened:
                await asyncio.sleep(0.2)

    async def intruders(seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < until:
            await intrude(chance, (ws, wss))
            counts["intruders"] += 1

    with Path(path).open("a", encoding="utf-8") as books:
        await asyncio.gather(
            *(sessions(books) for _ in range(SESSIONS)), *(intruders(first + n) for n in range(INTRUDERS))
        )
    print(json.dumps(counts | {"next": next(numbers)}), flush=True)


if __name__ == "__main__":
    asyncio.run(
        main(
            int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4]), int(sys.argv[5]), sys.argv[6]
        )
    )
