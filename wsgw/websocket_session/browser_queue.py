"""What a session knows of its queue to the browser: which of its answers wait in it, what the browser takes.

Answers to pings and to the legacy framing's keepalives can be asked for without end. While the kernel takes
them each is given; while an earlier one is queued, only the latest is remembered (RFC 6455 section 5.5.3).
So the queue holds what the server sent, which back-pressure bounds, and next to nothing of ours.
"""

from __future__ import annotations

from typing import Protocol

from wsgw.websocket_frame import make, make_pong

#: The message that is a legacy client's keepalive, and our answer to it.
BLANK = b" "


class Connection(Protocol):
    """What is asked about the connection to the browser; sizes are in bytes."""

    @property
    def queued(self) -> int:
        """What was sent and the kernel did not take."""

    @property
    def marked_waits(self) -> bool:
        """Whether something that was sent before ``mark`` is still queued."""

    @property
    def way(self) -> tuple[int, int]:
        """What was sent so far, and how much of it has left this machine."""

    def mark(self) -> None:
        """Tell the session once what was sent so far is taken, if it is queued."""


class BrowserQueue:
    """One session's view of it; what it returns as frames is for ``data_to_send``."""

    __slots__ = ("_blank", "_connection", "_ping", "_way", "unsent")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        #: ``data_to_send`` holds an answer.
        self.unsent = False
        #: The latest ping that is to be answered, and whether a keepalive is.
        self._ping: bytes | None = None
        self._blank = False
        #: At the last look: whether something was on its way to the browser, and what it had taken.
        self._way = (False, 0)

    def pong(self, payload: bytes) -> list[bytes]:
        """Answer a ping, now or later."""
        if self._answers_wait():
            self._ping = payload
            return []
        self.unsent = True
        return [make_pong(payload)]

    def blank(self) -> list[bytes]:
        """Answer a keepalive, now or later."""
        if self._answers_wait():
            self._blank = True
            return []
        self.unsent = True
        return [make(BLANK)]

    def _answers_wait(self) -> bool:
        """Whether an earlier answer is queued, or will be behind what is."""
        connection = self._connection
        return connection.marked_waits or (self.unsent and connection.queued > 0)

    def sent(self) -> None:
        """``data_to_send`` with its answers was sent."""
        self.unsent = False
        self._connection.mark()

    def remembered(self) -> list[bytes]:
        """The answers that were put off; none is any more."""
        frames = [] if self._ping is None else [make_pong(self._ping)]
        frames += [make(BLANK)] * self._blank
        self._ping, self._blank = None, False
        self.unsent = self.unsent or bool(frames)
        return frames

    def taken_since(self) -> bool:
        """Whether the browser has taken something of what was on its way to it at the last look.

        It cannot answer what lies behind that: a deadline for its answer runs from this look again.
        """
        was_on_its_way, taken_before = self._way
        sent, taken = self._connection.way
        self._way = (taken < sent, taken)
        return was_on_its_way and taken != taken_before


class _NoConnection:
    """Stands in where everything that is sent is taken at once."""

    queued = 0
    marked_waits = False
    way = (0, 0)

    def mark(self) -> None: ...


NO_CONNECTION = _NoConnection()
