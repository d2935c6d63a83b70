"""The deadline of one session: first for the client's header, then its login, then the end of its stream."""

from __future__ import annotations

from wsgw.websocket_xmpp.sides import XmppLimits
from wsgw.xmpp.login import MAX_AUTH_TIMES

#: Seconds in which the server must answer the end of a stream (RFC 6120 section 4.4).
CLOSE_ANSWER_TIMEOUT = 2.0


class Deadline:
    """A moment (seconds, monotonic) that the events of the session move."""

    __slots__ = ("_at", "_latest", "_limits")

    def __init__(self, limits: XmppLimits, now: float) -> None:
        self._limits = limits
        self._at = now + limits.open_timeout
        self._latest = now + MAX_AUTH_TIMES * limits.auth_timeout

    def stream_opened(self) -> None:
        """The client has opened its stream: it has ``auth_timeout`` from the session's start to log in."""
        self._at += self._limits.auth_timeout - self._limits.open_timeout

    def login_continues(self, now: float) -> None:
        """The server has answered a step of the login: a user may be filling in a registration form."""
        self._at = min(now + self._limits.auth_timeout, self._latest)

    def stream_ended(self) -> None:
        """The client has ended its stream: the time for the server's answer begins at the next check."""
        self._at = 0.0

    def answer_is_late(self, now: float, *, reading: bool) -> bool:
        """Whether the server's answer is late; its time does not run while the server is not read."""
        if not reading or not self._at:
            self._at = now + CLOSE_ANSWER_TIMEOUT
        return now >= self._at

    def is_over(self, now: float) -> bool:
        """Whether the deadline has passed."""
        return now >= self._at
