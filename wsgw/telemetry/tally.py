"""What one process counts of its sessions and connections; plain numbers, published elsewhere.

Nothing here is on the path of a stanza: bytes, frames and stanzas are counted by the sessions
themselves and added up by whoever asks. It reads no clock.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import NamedTuple

from wsgw.errors import causes
from wsgw.errors.causes import LIMITS, Cause
from wsgw.errors.refusals import REFUSALS, Refusal

#: The same limit on stanzas, before a login.
_BEFORE_LOGIN = "max_stanza_size_preauth"
#: All that may be in ``limits_hit``.
LIMITS_HIT = LIMITS | {refusal.label for refusal in REFUSALS if refusal.is_limit} | {_BEFORE_LOGIN}
#: Times not collected yet; more than come in between two collections.
_KEPT = 65_536


class Passed(NamedTuple):
    """What passed: of one session, or of many."""

    bytes_from_browser: int = 0
    bytes_to_browser: int = 0
    bytes_from_upstream: int = 0
    bytes_to_upstream: int = 0
    frames_from_browser: int = 0
    frames_to_browser: int = 0
    stanzas_from_client: int = 0
    stanzas_to_client: int = 0
    logins: int = 0
    failed_logins: int = 0

    def plus(self, other: Passed) -> Passed:
        """Both together."""
        return Passed(*map(int.__add__, self, other))


class Survey(NamedTuple):
    """The sessions of a process at one moment."""

    #: In them and in all before them.
    passed: Passed
    logged_in: int
    #: Sessions by host, framing (both may be empty) and state.
    groups: dict[tuple[str, str, str], int]
    #: Bytes that wait to be taken, and sessions of which one side is not read meanwhile.
    queued_to_browsers: int
    queued_to_upstreams: int
    paused: int


@dataclass(slots=True)
class Attempt:
    """The last attempt to reach an address of the XMPP server."""

    ok: bool
    #: Seconds since the epoch.
    at: float
    #: Why it failed; empty if it did not.
    error: str = ""


class Tally:
    """All numbers only grow; the deques are emptied by whoever collects them."""

    def __init__(self) -> None:
        self.opened = 0
        #: Sessions, by cause.
        self.closed: Counter[str] = Counter()
        #: By the name of the option that sets the limit.
        self.limits_hit: Counter[str] = Counter()
        #: Connections that became no session, by reason and HTTP status (0 for none).
        self.refused: Counter[tuple[str, int]] = Counter()
        #: Stanzas of servers of which something was taken out, by ``stanza_repair.REASONS``.
        self.stanzas_repaired: Counter[str] = Counter()
        #: What passed in the sessions that are over.
        self.passed = Passed()
        #: Seconds.
        self.ping_times: deque[float] = deque(maxlen=_KEPT)
        #: The address as configured, and seconds.
        self.connect_times: deque[tuple[str, float]] = deque(maxlen=_KEPT)
        #: The addresses of XMPP servers as configured: all that may be in what follows.
        self.upstreams: set[str] = set()
        #: By the address as configured.
        self.connect_failures: Counter[str] = Counter()
        self.attempts: dict[str, Attempt] = {}

    def session_ended(self, cause: Cause, passed: Passed, *, authenticated: bool) -> None:
        """A session is over, for ``cause``."""
        self.closed[cause.label] += 1
        if cause is causes.LARGE_STANZA and not authenticated:
            self.limits_hit[_BEFORE_LOGIN] += 1
        elif cause.limit:
            self.limits_hit[cause.limit] += 1
        self.passed = self.passed.plus(passed)

    def connection_refused(self, cause: Refusal, status: int) -> None:
        """A connection became no session; ``status`` is 0 if it was not answered."""
        self.refused[cause.label, status] += 1
        if cause.is_limit:
            self.limits_hit[cause.label] += 1
