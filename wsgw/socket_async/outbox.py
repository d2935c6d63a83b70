"""What is sent: bytes that wait for the end of the turn of the loop, and bytes that wait for the kernel."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any, Protocol

import gevent

from wsgw.loop_turn import turn_of
from wsgw.socket_async.kernel import unsent

#: So much is not kept for the end of the turn, in bytes: its sender must see now what is not taken.
_AT_ONCE = 16 * 1024
#: The most that is given to the kernel at a time from the queue, in bytes.
_AT_A_TIME = 384 * 1024
_WRITE = 2
_Step = Callable[[], None]


def _to_no_owner() -> None:
    """Stands in for the callbacks while no owner is attached."""


class Reader(Protocol):
    """The receiving half of the socket."""

    def read_last_words(self) -> None:
        """A write has failed: the peer may have said why before it went."""


class Outbox:
    """The sending half of a non-blocking socket; bytes come in as the network gets them."""

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
        #: None once closed.
        self._reader: Reader | None = reader
        self._turn = turn_of(gevent.get_hub())
        self._watcher: Any = None
        #: What was sent in this turn of the loop.
        self._pending = b""
        self._queue = bytearray()
        #: The owner's callbacks; see ``attach``.
        self._drained: _Step = _to_no_owner
        self._passed: _Step = _to_no_owner
        #: The value of ``progress`` at which what was sent before ``mark`` has left; 0 for no mark.
        self._mark = 0
        #: Bytes that the kernel did not take: the length of the queue.
        self.queued = 0
        #: Grows with every byte the kernel took.
        self.progress = 0
        #: A write failed, and so will every other.
        self.failed = False
        #: Nothing is queued and no write failed.
        self.at_rest = True

    def attach(self, drained: _Step, passed: _Step) -> None:
        """Call ``drained`` when the queue is taken, ``passed`` when what was sent before ``mark`` is."""
        self._drained, self._passed = drained, passed

    def detach(self) -> None:
        """Call nothing any more."""
        self._drained = self._passed = _to_no_owner

    @property
    def taken(self) -> int:
        """Bytes that have left this machine: it changes as long as the peer takes something."""
        return self.progress - unsent(self._socket)

    @property
    def way(self) -> tuple[int, int]:
        """Bytes sent by us, and those of them that have left this machine."""
        return self.progress + self.queued + len(self._pending), self.taken

    def mark(self) -> None:
        """Ask to be told when the kernel has taken what was sent so far, if it does not do so at once."""
        self._mark = self.progress + self.queued + len(self._pending)

    @property
    def marked_waits(self) -> bool:
        """Whether the kernel has not taken everything that was sent before ``mark``."""
        return self.queued > 0 and self.progress < self._mark

    def send(self, data: bytes) -> None:
        """Send when no event of this turn of the loop is left, at once if it is much.

        What the kernel does not take is queued. Never blocks, never raises.
        """
        if len(data) >= _AT_ONCE:
            self.write(data)
        elif self._pending:
            self._pending += data
            if len(self._pending) >= _AT_ONCE:
                self.write()
        elif self._turn.puts_off(self.write):
            self._pending = data
        else:
            self.write(data)

    def write(self, data: bytes = b"") -> None:
        """Write what is pending, then ``data``; queue what the kernel does not take."""
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
        """Wait until the kernel has taken everything sent so far. Raises OSError."""
        self.write()
        while self.queued:
            if self._watcher is not None:
                self._watcher.stop()
            gevent.get_hub().wait(self._watch())
            self._write_queue()
        if self.failed:
            # pywsgi tells a peer that is gone from a fault by the number.
            raise BrokenPipeError(errno.EPIPE, "the peer is gone")

    def fail(self) -> None:
        """Send no more. It ends nothing by itself: the peer may have said why before it went."""
        self.failed = True
        self._drop()
        self.at_rest = False
        if self._reader is not None:
            self._reader.read_last_words()

    def close(self) -> None:
        """Stop at once; what is queued is lost."""
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
        """The watcher's callback."""
        self._write_queue()
        if self._mark and not self.marked_waits:
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
