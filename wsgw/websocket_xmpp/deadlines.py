"""How long the client's header, its login and the end of its stream may take: one deadline at a time."""

from __future__ import annotations

from wsgw.websocket_xmpp.sides import XmppLimits
from wsgw.xmpp.login import MAX_AUTH_TIMES

#: How long the server may take to answer the end of a stream, in seconds.
CLOSE_ANSWER_TIMEOUT = 2.0


class Deadline:
    """A moment (seconds, monotonic) that is moved by what the session goes through."""

    __slots__ = ("_at", "_latest", "_limits")

    def __init__(self, limits: XmppLimits, now: float) -> None:
        self._limits = limits
        self._at = now + limits.open_timeout
        self._latest = now + MAX_AUTH_TIMES * limits.auth_timeout

    def stream_opened(self) -> None:
        """The client has opened its stream: the login is next, counted from the beginning of the session."""
        self._at += self._limits.auth_timeout - self._limits.open_timeout

    def login_goes_on(self, now: float) -> None:
        """The server has answered a step of the login: a person may be filling in a registration form."""
        self._at = min(now + self._limits.auth_timeout, self._latest)

    def stream_ended(self) -> None:
        """The client has ended its stream: the server's answer is awaited from the next look on."""
        self._at = 0.0

    def answer_is_late(self, now: float, *, reading: bool) -> bool:
        """Whether the server owes its answer too long. It rests while the server is not read."""
        if not reading or not self._at:
            self._at = now + CLOSE_ANSWER_TIMEOUT
        return now >= self._at

    def is_over(self, now: float) -> bool:
        """Whether it has passed."""
        return now >= self._at
