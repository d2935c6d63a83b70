"""Sends bytes: some wait for the end of the turn of the event loop, some until the kernel takes them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any, Protocol

import gevent

from wsgw.loop_turn import turn_of
from wsgw.socket_async.kernel import unsent

#: Bytes from which on data is written at once: its sender must see now whether the kernel takes it.
_AT_ONCE = 16 * 1024
#: The most bytes of the queue that are passed to the kernel in one call.
_AT_A_TIME = 384 * 1024
_WRITE = 2
_Step = Callable[[], None]


def _to_no_owner() -> None:
    """The callback while no owner is attached."""


class Reader(Protocol):
    """The receiving half of the socket."""

    def read_rest(self) -> None:
        """A write has failed: read the bytes that the peer sent before, which may say why."""


class Outbox:
    """The sending half of a non-blocking socket; with TLS, it gets encrypted bytes."""

    __slots__ = (
        "_drained",
        "_mark",
        "_passed",
        "_pending",
        "_queue",
        "_reader",
        "_socket",
        "_turn",
        "_watcher",
        "at_rest",
        "failed",
        "progress",
        "queued",
    )

    def __init__(self, sock: socket.socket, reader: Reader) -> None:
        self._socket = sock
        #: None after ``close``.
        self._reader: Reader | None = reader
        self._turn = turn_of(gevent.get_hub())
        self._watcher: Any = None
        #: The bytes that wait for the end of this turn of the loop.
        self._pending = b""
        self._queue = bytearray()
        #: The owner's callbacks; see ``attach``.
        self._drained: _Step = _to_no_owner
        self._passed: _Step = _to_no_owner
        #: The value of ``progress`` when all bytes sent before ``mark`` are taken; 0 for no mark.
        self._mark = 0
        #: Number of bytes that the kernel did not take: the length of the queue.
        self.queued = 0
        #: Number of bytes that the kernel has taken so far.
        self.progress = 0
        #: A write failed: nothing more is sent.
        self.failed = False
        #: Nothing is queued and no write failed.
        self.at_rest = True

    def attach(self, drained: _Step, passed: _Step) -> None:
        """Call ``drained`` when the queue is empty, ``passed`` when the bytes before ``mark`` left it."""
        self._drained, self._passed = drained, passed

    def detach(self) -> None:
        """Call no callback from now on."""
        self._drained = self._passed = _to_no_owner

    @property
    def taken(self) -> int:
        """Number of bytes that have left this machine: it grows while the peer takes bytes."""
        return self.progress - unsent(self._socket)

    @property
    def sent_and_taken(self) -> tuple[int, int]:
        """(number of bytes passed to ``send``, number of those that have left this machine)."""
        return self.progress + self.queued + len(self._pending), self.taken

    def mark(self) -> None:
        """Call ``passed`` when the kernel has taken all bytes sent so far, unless it takes them at once."""
        self._mark = self.progress + self.queued + len(self._pending)

    @property
    def mark_pending(self) -> bool:
        """Whether bytes that were sent before ``mark`` are still queued."""
        return self.queued > 0 and self.progress < self._mark

    def send(self, data: bytes) -> None:
        """Send ``data`` at the end of this turn of the loop, or at once from ``_AT_ONCE`` bytes on.

        Bytes that the kernel does not take are queued. Never blocks, never raises.
        """
        if len(data) >= _AT_ONCE:
            self.write(data)
        elif self._pending:
            self._pending += data
            if len(self._pending) >= _AT_ONCE:
                self.write()
        elif self._turn.defer(self.write):
            self._pending = data
        else:
            self.write(data)

    def write(self, data: bytes = b"") -> None:
        """Write the pending bytes, then ``data``; queue the bytes that the kernel does not take."""
        if self._pending:
            data = self._pending + data if data else self._pending
            self._pending = b""
        if self.queued:
            self._queue += data
            self.queued = len(self._queue)
            return
        if self.failed or not data:
            return
        try:
            taken = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            taken = 0
        except OSError:
            self.fail()
            return
        self.progress += taken
        if taken < len(data):
            self._queue += memoryview(data)[taken:]
            self.queued = len(self._queue)
            self.at_rest = False
            watcher = self._watch()
            if not watcher.active:
                watcher.start(self._writable)

    def flush(self) -> None:
        """Wait until the kernel has taken all bytes sent so far. Raises OSError if a write failed."""
        self.write()
        while self.queued:
            if self._watcher is not None:
                self._watcher.stop()
            gevent.get_hub().wait(self._watch())
            self._write_queue()
        if self.failed:
            # By this number, pywsgi recognises a peer that is gone, and logs no fault.
            raise BrokenPipeError(errno.EPIPE, "the peer is gone")

    def fail(self) -> None:
        """Send nothing more. The session continues until the peer's last bytes are read."""
        self.failed = True
        self._drop()
        self.at_rest = False
        if self._reader is not None:
            self._reader.read_rest()

    def close(self) -> None:
        """Stop at once; queued bytes are lost."""
        self._reader = None
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        self._drop()

    def _drop(self) -> None:
        self._pending = b""
        self._queue.clear()
        self.queued = 0

    def _writable(self) -> None:
        """The write watcher's callback: the kernel takes bytes again."""
        self._write_queue()
        if self._mark and not self.mark_pending:
            self._mark = 0
            self._passed()
        if not self.queued:
            if self._watcher is not None:
                self._watcher.stop()
            self._drained()

    def _write_queue(self) -> None:
        try:
            with memoryview(self._queue) as view:
                taken = self._socket.send(view[:_AT_A_TIME])
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.fail()
            return
        self.progress += taken
        del self._queue[:taken]
        self.queued = len(self._queue)
        self.at_rest = not self.queued

    def _watch(self) -> Any:
        if self._watcher is None:
            self._watcher = gevent.get_hub().loop.io(self._socket.fileno(), _WRITE)
        return self._watcher
