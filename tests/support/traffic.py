"""Steady traffic through a gateway, with books: every stanza must come back once, in order.

An XMPP server that echoes and its browsers run in one thread with its own event loop. There another client
tries to connect all the time, and counts the results.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import ssl
import threading
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.soak.clients import client_frame
from tests.support.processes import wait_until
from tests.support.wire import CLOSE_7395, END, OPENINGS, SERVER_HEADER, SUCCESS

_FEATURES = b"<stream:features/>"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
#: For a step that works, on a busy machine, in seconds.
PATIENCE = 30.0


@dataclass
class Book:
    """The events of one session."""

    sent: int = 0
    came_back: int = 0
    #: The reason for an end that the test did not request; empty if there was none.
    lost: str = ""
    #: Of the Close frame, 0 for none.
    code: int = 0
    #: Stream errors and stanzas that were not expected.
    unexpected: list[bytes] = field(default_factory=list)
    open: bool = False
    #: The time of its end, by the loop's clock.
    ended_at: float = 0.0


class Traffic:
    """``with Traffic() as traffic``: an echo server at ``traffic.port``, and sessions on request."""

    def __init__(self, ca: Path | None = None) -> None:
        self.books: list[Book] = []
        #: The results of attempts to connect: "101", "503", "ConnectionRefusedError" and the like.
        self.attempts: Counter[str] = Counter()
        self._ca = ca
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._echoes: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    def __enter__(self) -> Traffic:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(PATIENCE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    # -- for tests ---------------------------------------------------------------------------------

    def begin(self, port: int, count: int, pause: float = 0.1, *, secure: bool = False) -> list[Book]:
        """Start sessions, one after the other; return their books once all have their first stanza back."""
        books = [Book() for _ in range(count)]
        self.books += books
        for book in books:
            before = asyncio.run_coroutine_threadsafe(
                self._start(self._session(book, port, pause, secure)), self._loop
            )
            before.result(PATIENCE)
            wait_until(lambda book=book: book.came_back or book.lost, PATIENCE, "a session")  # type: ignore[misc]
        return books

    def storm(self, port: int, count: int, pause: float = 1.0) -> list[Book]:
        """Start sessions all at once; return their books once all have their first stanza back."""
        books = [Book() for _ in range(count)]
        self.books += books
        for book in books:
            asyncio.run_coroutine_threadsafe(
                self._start(self._session(book, port, pause, False)), self._loop
            ).result(PATIENCE)
        wait_until(lambda: all(book.came_back or book.lost for book in books), PATIENCE, "the sessions")
        return books

    def attempt(self, port: int, pause: float = 0.01) -> None:
        """Try to connect again and again, from now on."""
        asyncio.run_coroutine_threadsafe(self._start(self._attempts(port, pause)), self._loop).result(
            PATIENCE
        )

    def moves(self, books: list[Book], stanzas: int = 5) -> None:
        """Wait until every session of ``books`` has so many more stanzas, or has ended."""
        goals = [book.came_back + stanzas for book in books]
        wait_until(
            lambda: all(
                book.came_back >= goal or not book.open for book, goal in zip(books, goals, strict=True)
            ),
            PATIENCE,
            "stanzas",
        )

    def over(self, books: list[Book]) -> None:
        """Wait until every session of ``books`` has ended and its last events are in its book."""
        wait_until(lambda: not any(book.open for book in books), PATIENCE, "the sessions to be over")

    def now(self) -> float:
        """The clock of ``ended_at`` of a book."""
        return self._loop.time()

    def finish(self) -> None:
        """Let every session end in order, and wait for that."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        wait_until(lambda: not self._tasks, PATIENCE, "the sessions to end")

    # -- the server ----------------------------------------------------------------------------------

    async def _serve(self) -> int:
        self._server = await asyncio.start_server(self._echo, "127.0.0.1", 0, backlog=1024)
        return int(self._server.sockets[0].getsockname()[1])

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._echoes.add(task)
        task.add_done_callback(self._echoes.discard)
        try:
            await reader.readuntil(b"version='1.0'>")
            writer.write(SERVER_HEADER + _FEATURES + SUCCESS)
            while data := await reader.read(65536):
                writer.write(data)
                if data.endswith(END):
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    # -- the browsers --------------------------------------------------------------------------------

    async def _start(self, life: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(life)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _cancel(self) -> None:
        self._server.close()
        tasks = [*self._tasks, *self._echoes]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the loop releases closed sockets in its next turn

    async def _session(self, book: Book, port: int, pause: float, secure: bool) -> None:
        writer = None
        try:
            reader, writer = await self._connect(port, secure)
            writer.write(client_frame(OPENINGS["rfc7395"]))
            for _ in range(3):
                await self._message(book, reader, writer)
            book.open = True
            await self._talk(book, reader, writer, pause)
        except (OSError, asyncio.IncompleteReadError) as error:
            book.lost = book.lost or repr(error)
        finally:
            book.open = False
            book.ended_at = self._loop.time()
            if writer is not None:
                writer.transport.abort()

    async def _talk(
        self, book: Book, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pause: float
    ) -> None:
        while not self._stopping.is_set():
            stanza = b"<message xmlns='jabber:client' id='%d'><body>%d</body></message>" % (
                id(book),
                book.sent,
            )
            writer.write(client_frame(stanza))
            book.sent += 1
            answer = await self._message(book, reader, writer)
            if answer != stanza:
                book.unexpected.append(answer)
                await self._to_the_end(book, reader, writer)
                return
            book.came_back += 1
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
        writer.write(client_frame(CLOSE_7395))
        await self._to_the_end(book, reader, writer)

    async def _to_the_end(
        self, book: Book, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            answer = await self._message(book, reader, writer)
            if not answer:
                return
            if not answer.startswith(b"<close "):
                book.unexpected.append(answer)

    async def _message(self, book: Book, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """The next text message, empty for a Close."""
        while True:
            first, size = await reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await reader.readexactly(2), "big")
            payload = await reader.readexactly(size)
            if first & 0x0F == _PING:
                writer.write(client_frame(payload, _PONG))
            elif first & 0x0F == _CLOSE:
                book.code = int.from_bytes(payload[:2], "big")
                writer.write(client_frame(payload, _CLOSE))
                if not self._stopping.is_set():
                    book.lost = book.lost or f"Close {book.code}"
                return b""
            else:
                return payload

    async def _connect(self, port: int, secure: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """An upgraded connection. Raises OSError with the status line for a refusal."""
        context = ssl.create_default_context(cafile=self._ca) if secure else None
        name = "localhost" if secure else None
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        try:
            writer.write(
                b"GET /ws-xmpp HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Protocol: xmpp\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n"
                % base64.b64encode(os.urandom(16))
            )
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101 "):
                raise OSError(head.decode())
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer

    async def _attempts(self, port: int, pause: float) -> None:
        while not self._stopping.is_set():
            try:
                reader, writer = await self._connect(port, False)
            except (OSError, asyncio.IncompleteReadError) as error:
                told = str(error).startswith("HTTP/1.1 ")
                self.attempts[str(error)[9:12] if told else type(error).__name__] += 1
            else:
                self.attempts["101"] += 1
                writer.write(client_frame(b"\x03\xe8", _CLOSE))
                with contextlib.suppress(OSError):
                    await reader.read()
                writer.transport.abort()
            await asyncio.sleep(pause)


def assert_whole(books: list[Book]) -> None:
    """Assert that no stanza was lost, doubled or unexpected, and no session ended by itself."""
    for book in books:
        assert (book.lost, book.unexpected) == ("", []), book
        assert book.came_back == book.sent > 0, book
