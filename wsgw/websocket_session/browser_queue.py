"""Bounds wsgw's own answers in the queue to the browser, and observes whether the browser takes bytes.

A browser can request answers without limit, by pings and by keepalives of legacy framing. While the kernel
takes the answers, each one is sent; while an earlier answer is queued, only the latest one is remembered
(RFC 6455 section 5.5.3). So the queue holds at most two answers, next to the server's bytes, which
back-pressure bounds.
"""

from __future__ import annotations

from typing import Protocol

from wsgw.websocket_frame import make, make_pong

#: The message that answers a legacy client's keepalive.
BLANK = b" "


class Connection(Protocol):
    """The connection to the browser, as this module sees it."""

    @property
    def queued(self) -> int:
        """Number of sent bytes that the kernel did not take."""

    @property
    def mark_pending(self) -> bool:
        """Whether bytes that were sent before ``mark`` are still queued."""

    @property
    def sent_and_taken(self) -> tuple[int, int]:
        """(number of bytes sent so far, number of those that have left this machine)."""

    def mark(self) -> None:
        """Call ``answers_taken`` of the session when the bytes queued so far are taken."""


class BrowserQueue:
    """One session's answers in its queue. Its methods return frames for ``data_to_send``, maybe none."""

    __slots__ = ("_blank", "_connection", "_last_check", "_ping", "unsent")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        #: ``data_to_send`` contains an answer.
        self.unsent = False
        #: The payload of the latest unanswered ping; whether a keepalive is unanswered.
        self._ping: bytes | None = None
        self._blank = False
        #: At the last check: whether the browser had not taken all bytes; how many it had taken.
        self._last_check = (False, 0)

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
        """Whether an earlier answer is queued, or will be queued when ``data_to_send`` is sent."""
        connection = self._connection
        return connection.mark_pending or (self.unsent and connection.queued > 0)

    def sent(self) -> None:
        """Note that ``data_to_send`` with its answers was sent."""
        self.unsent = False
        self._connection.mark()

    def remembered(self) -> list[bytes]:
        """Return the frames of the remembered answers, and forget them."""
        frames = [] if self._ping is None else [make_pong(self._ping)]
        frames += [make(BLANK)] * self._blank
        self._ping, self._blank = None, False
        self.unsent = self.unsent or bool(frames)
        return frames

    def has_progressed(self) -> bool:
        """Whether the browser has taken bytes since the last check, of those that waited for it then.

        It cannot answer a frame behind such bytes, so the deadline for its answer begins again.
        """
        was_waiting, taken_before = self._last_check
        sent, taken = self._connection.sent_and_taken
        self._last_check = (taken < sent, taken)
        return was_waiting and taken != taken_before


class _NoConnection:
    """The connection before ``attach`` and after ``detach``: every byte is taken at once."""

    queued = 0
    mark_pending = False
    sent_and_taken = (0, 0)

    def mark(self) -> None: ...


NO_CONNECTION = _NoConnection()
