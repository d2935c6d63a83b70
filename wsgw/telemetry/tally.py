"""The counters of one process: its sessions and its connections. ``ops`` publishes them.

The path of a stanza updates no counter here: each session counts its own bytes, frames and stanzas, and
``Supervisor.survey`` adds them up. It reads no clock.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import NamedTuple

from wsgw.errors import causes
from wsgw.errors.causes import LIMITS, Cause
from wsgw.errors.refusals import REFUSALS, Refusal

#: The option that limits the size of stanzas before the login.
_BEFORE_LOGIN = "max_stanza_size_preauth"
#: All possible keys of ``limits_hit``.
LIMITS_HIT = LIMITS | {refusal.label for refusal in REFUSALS if refusal.is_limit} | {_BEFORE_LOGIN}
#: Times that a deque holds at most: more than are measured between two publications.
_KEPT = 65_536


class Passed(NamedTuple):
    """The traffic of one session, or of several together."""

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
    #: Sessions that continue an earlier one (XEP-0198).
    resumed: int = 0

    def plus(self, other: Passed) -> Passed:
        """The sum of this traffic and ``other``."""
        return Passed(*map(int.__add__, self, other))


class Survey(NamedTuple):
    """The sessions of a process at one moment."""

    #: The traffic of these sessions and of all that have ended.
    passed: Passed
    #: The number of sessions with a successful login.
    logged_in: int
    #: The number of sessions by (host, framing, state); host and framing may be empty.
    groups: dict[tuple[str, str, str], int]
    #: Bytes that wsgw holds until the peer reads them.
    queued_to_browsers: int
    queued_to_upstreams: int
    #: The number of sessions of which one side is not read until the other side has caught up.
    paused: int


@dataclass(slots=True)
class Attempt:
    """The last attempt to reach an address of the XMPP server."""

    ok: bool
    #: Seconds since the epoch.
    at: float
    #: Why it failed; empty if it succeeded.
    error: str = ""


class Tally:
    """The counters of one process. They only grow; the publisher empties the deques."""

    def __init__(self) -> None:
        #: Sessions opened.
        self.opened = 0
        #: Sessions opened, by the source of the client's address (``client_address.SOURCES``).
        self.client_addresses: Counter[str] = Counter()
        #: Sessions ended, by the label of their cause.
        self.closed: Counter[str] = Counter()
        #: How often a limit was reached, by the option that sets it.
        self.limits_hit: Counter[str] = Counter()
        #: Refused connections, by (reason, HTTP status); status 0 without an answer.
        self.refused: Counter[tuple[str, int]] = Counter()
        #: Stanzas of XMPP servers from which a part was removed, by reason (``errors.causes.REPAIRS``).
        self.stanzas_repaired: Counter[str] = Counter()
        #: The traffic of the sessions that have ended.
        self.passed = Passed()
        #: Seconds from a ping to the next bytes of the browser.
        self.ping_times: deque[float] = deque(maxlen=_KEPT)
        #: (upstream as configured, seconds to connect to it).
        self.connect_times: deque[tuple[str, float]] = deque(maxlen=_KEPT)
        #: All upstreams as configured: the possible keys of the next two mappings.
        self.upstreams: set[str] = set()
        self.connect_failures: Counter[str] = Counter()
        self.attempts: dict[str, Attempt] = {}

    def session_ended(self, cause: Cause, passed: Passed, *, authenticated: bool) -> None:
        """Count a session that has ended because of ``cause``, and its traffic."""
        self.closed[cause.label] += 1
        if cause is causes.LARGE_STANZA and not authenticated:
            self.limits_hit[_BEFORE_LOGIN] += 1
        elif cause.limit:
            self.limits_hit[cause.limit] += 1
        self.passed = self.passed.plus(passed)

    def connection_refused(self, cause: Refusal, status: int) -> None:
        """Count a refused connection; ``status`` is the HTTP status of the answer, 0 without one."""
        self.refused[cause.label, status] += 1
        if cause.is_limit:
            self.limits_hit[cause.label] += 1
