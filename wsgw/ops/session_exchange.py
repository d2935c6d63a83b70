"""Workers ask each other about their sessions: any worker answers the admin for all.

Each worker listens on a Unix socket in the metrics directory, which only the account of the workers can
enter. A connection has one query, a JSON document in one line, and its answer, a JSON document until the end.
All other workers are asked at the same time; one that does not answer in time is named. Workers of the
previous gateway of an upgrade have another directory, and are not asked.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import gevent
import gevent.socket
from gevent.pool import Pool
from gevent.server import StreamServer

from wsgw.ops.session_queries import Document
from wsgw.ops.state import StateFile

log = logging.getLogger("wsgw.ops.admin")

#: Seconds for a query and its answer.
TIMEOUT: Final = 2.0
#: Bytes of a query, and of an answer, at most.
_QUERY_SIZE, _ANSWER_SIZE = 4096, 1 << 20
#: Queries that a worker answers at a time; further ones wait.
_AT_ONCE: Final = 4


class Answers(NamedTuple):
    """The answers of all workers to one query."""

    found: list[Document]
    #: The slots of the workers that have not answered.
    silent: list[int]


class SessionExchange:
    """One worker's end of it."""

    def __init__(
        self, folder: Path, slot: int, parent: StateFile, answer: Callable[[Document], Document]
    ) -> None:
        """``parent`` is the parent's state file, which names the workers; ``answer`` answers for this one."""
        self._folder = folder
        self._slot = slot
        self._parent = parent
        self._answer = answer
        self._server: StreamServer | None = None

    def start(self) -> None:
        """Answer the queries of other workers from now on. Without a socket it logs an error."""
        if self._server is not None:
            return
        path = self._path(self._slot)
        path.unlink(missing_ok=True)  # that of a worker which this one replaces
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(path))
            listener.listen()
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            log.error("no sessions of this worker on the status page: %s: %s", path, error.strerror or error)
            return
        self._server = StreamServer(listener, self._serve, spawn=Pool(_AT_ONCE))
        self._server.start()

    def stop(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.stop(timeout=0)
            self._path(self._slot).unlink(missing_ok=True)
            self._server = None

    def ask_all(self, query: Document) -> Answers:
        """The answers of this worker and of all others, at most ``TIMEOUT`` seconds later."""
        others = [one["slot"] for one in self._parent.read().get("workers", ()) if one["slot"] != self._slot]
        asked = {slot: gevent.spawn(self._ask, slot, query) for slot in others}
        found = [self._answer(query)]
        gevent.joinall(list(asked.values()))
        answers = {slot: greenlet.value for slot, greenlet in asked.items()}
        found += [answer for answer in answers.values() if answer is not None]
        return Answers(found, [slot for slot, answer in answers.items() if answer is None])

    def _path(self, slot: int) -> Path:
        return self._folder / f"worker_{slot}.socket"

    def _ask(self, slot: int, query: Document) -> Document | None:
        """The answer of the worker with ``slot``; None if it does not answer in time."""
        with (
            contextlib.suppress(OSError, ValueError),
            gevent.Timeout(TIMEOUT, False),  # type: ignore[arg-type]
            gevent.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
        ):
            connection.connect(str(self._path(slot)))
            connection.sendall(json.dumps(query).encode() + b"\n")
            answer: Document = json.loads(_read(connection, b"", _ANSWER_SIZE))
            return answer
        return None

    def _serve(self, connection: Any, _address: object) -> None:
        with contextlib.suppress(OSError), gevent.Timeout(TIMEOUT, False):  # type: ignore[arg-type]
            query = json.loads(_read(connection, b"\n", _QUERY_SIZE))
            connection.sendall(json.dumps(self._answer(query)).encode())


def _read(connection: Any, end: bytes, most: int) -> bytes:
    """The bytes until ``end``, or until the end of the stream. Raises OSError for more than ``most``."""
    data = b""
    while not (end and data.endswith(end)):
        more = connection.recv(1 << 16)
        if not more:
            break
        data += more
        if len(data) > most:
            raise OSError("too long")
    return data
