"""What is remembered of a socket from one look at it to the next: whether its peer takes what is queued."""

from __future__ import annotations

from wsgw.socket_async import LAST_WORDS, SocketAsync


class Progress:
    """What the sweep remembers of one socket."""

    __slots__ = ("_socket", "failed_at", "stalled_since", "taken")

    def __init__(self, sock: SocketAsync) -> None:
        self._socket = sock
        self.taken = 0
        self.stalled_since = 0.0
        self.failed_at = 0.0

    def forget(self) -> None:
        """Nothing was queued in the meantime: whatever is now is new."""
        self.stalled_since = 0.0

    def stalled(self, now: float) -> float:
        """How long the peer has taken nothing of what is queued, in seconds."""
        if not self._socket.queued:
            self.stalled_since = 0.0
            return 0.0
        taken = self._socket.taken
        if taken != self.taken or not self.stalled_since:
            self.taken, self.stalled_since = taken, now
        return now - self.stalled_since

    def beyond_last_words(self, now: float) -> bool:
        """Whether a write failed, and the time to read what the peer said before is over."""
        if not self._socket.write_failed:
            return False
        self.failed_at = self.failed_at or now
        return now - self.failed_at >= LAST_WORDS
