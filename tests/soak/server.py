"""The XMPP server of the soak: ``python -m tests.soak.server PORT BOOKS SHARE``.

A session's name is the ``from`` of its header: NUMBER-FRAMING-MODE-COUNT. The server sends COUNT stanzas and
behaves as MODE says; its long pauses take SHARE of their time. It writes a line of JSON for each session to
the file BOOKS. At SIGTERM it resets all connections and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import signal
import sys
from pathlib import Path

from tests.soak.reset import reset
from tests.soak.script import END, SERVER_HEADER, WELCOME, Expected, stanza

_NAME = re.compile(rb" from='([^']*)'")
_ERROR = b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
#: The bytes of one write.
_BATCH = 20


class Session:
    """One stream of the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, share: float) -> None:
        self.reader, self.writer = reader, writer
        self._share = share
        self.name = self.mode = ""
        self.sent = self.planned = 0
        self.end = "died"
        #: Whether it has reset its connection itself.
        self.dead = False
        self.stopping = False
        self.expected = Expected("", "up")

    async def run(self) -> None:
        header = await self.reader.readuntil(b"version='1.0'>")
        found = _NAME.search(header)
        assert found is not None, header
        self.name = found[1].decode()
        _, _, self.mode, count = self.name.split("-")
        self.planned = int(count)
        self.expected = Expected(self.name, "up")
        self.writer.write(SERVER_HEADER + b"".join(WELCOME))
        speaking = asyncio.create_task(self._speak(self.mode, self.planned))
        try:
            await self._read(self.mode)
        finally:
            self.stopping = True
            if self.end != "end tag":  # after the client's end, a begun stanza is still sent to its end
                speaking.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await speaking
        if self.end == "end tag":
            self.writer.write(END)

    async def _read(self, mode: str) -> None:
        chance = random.Random(self.name)
        while data := await self.reader.read(65536):
            self.expected.feed(data)
            if self.expected.rest.endswith(END):
                self._note_end()
                return
            if mode == "slow":
                await asyncio.sleep(chance.random() / 20)
            elif mode == "stall" and chance.random() < 0.2:
                await asyncio.sleep(3 * self._share)
        if self.expected.rest.startswith(b"<stream:error>") or self.expected.off_script:
            self.expected.note_mismatch()
        self.end = "died" if self.dead else "fin"

    def _note_end(self) -> None:
        rest = self.expected.rest.removesuffix(END)
        self.end = "end tag"
        if rest.startswith(b"<stream:error><") and rest.endswith(b"</stream:error>"):
            self.end = "error"
        elif rest:
            self.expected.note_mismatch()

    async def _speak(self, mode: str, count: int) -> None:
        chance = random.Random(self.name)
        while self.sent < count and not self.stopping:
            batch = range(self.sent, min(count, self.sent + chance.randint(1, _BATCH)))
            data = b"".join(stanza(self.name, "down", n) + chance.choice((b"", b"", b"\n")) for n in batch)
            self.sent = batch.stop
            places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randint(0, 3)))
            for start, end in zip([0, *places], [*places, len(data)], strict=True):
                self.writer.write(data[start:end])
                await asyncio.shield(self.writer.drain())
            if mode != "burst":
                await asyncio.sleep(chance.random() / 20)
        if self.stopping:
            return
        if mode == "dies":
            self.dead = True
            reset(self.writer)
        elif mode in ("ends", "error"):
            self.writer.write((_ERROR if mode == "error" else b"") + END)

    def books(self) -> str:
        """The JSON line of the session."""
        return json.dumps(
            {
                "name": self.name,
                "received": self.expected.count,
                "rest": len(self.expected.rest),
                "sent": self.sent,
                "planned": self.planned,
                "mode": self.mode,
                "end": self.end,
                "mismatch": self.expected.mismatch,
            }
        )


async def serve(port: int, path: str, share: float) -> None:
    sessions: set[Session] = set()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    with Path(path).open("a", encoding="utf-8") as books:

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            session = Session(reader, writer, share)
            sessions.add(session)
            try:
                await session.run()
            except ConnectionError:
                session.end = "died" if session.dead else "rst"
            except (asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                if session in sessions:
                    sessions.discard(session)
                    if session.name:
                        print(session.books(), file=books, flush=True)
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", port, backlog=512, limit=1 << 20)
        await stopped.wait()
        server.close()
        for session in list(sessions):
            sessions.discard(session)
            if session.name:
                print(session.books(), file=books, flush=True)
            reset(session.writer)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
