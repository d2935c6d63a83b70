"""Who may connect: caps on connections in all and per address, and the rate of new ones per address.

They are the gateway's, never a worker's: the counts are in a table all workers share, and in those of
parents before theirs that serve their last sessions. A connection takes a ``Ticket`` when it is accepted,
has it charged to an address as soon as that is known (at once, or behind a proxy after the request), and
gives it back when it is gone. It reads no clock, ``now`` (seconds, monotonic, one clock for all workers)
comes with the call. Erlang twin: none, the original had no caps and took connections at any rate.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

from wsgw.capacity.table import SharedTable
from wsgw.errors import HandshakeRefused, refusals
from wsgw.errors.refusals import Refusal

_IPV4_MAPPED = bytes(10) + b"\xff\xff"


class Caps(NamedTuple):
    """The limits of one listener; ``math.inf`` and ``sys.maxsize`` for none."""

    #: Connections at a time, those still shaking hands included.
    max_sessions: int
    max_sessions_per_ip: int
    #: New connections of one address: per second, and at once.
    rate: float
    burst: int


class Admission:
    """The connections of a whole gateway, counted; this worker's are counted in ``slot``."""

    def __init__(self, table: SharedTable, slot: int, previous: Iterable[SharedTable] = ()) -> None:
        """``previous`` are the tables of parents before ours, whose last connections count too."""
        self.table = table
        self._previous = tuple(previous)
        self.slot = slot
        #: Connections that this worker turned away, by reason.
        self.refused: Counter[str] = Counter()
        table.use_slot(slot)

    @property
    def connections(self) -> int:
        """Connections of the gateway that hold a ticket."""
        return self.table.connections() + self._connections_elsewhere()

    def admit(self, caps: Caps) -> Ticket:
        """Return a ticket. Raises HandshakeRefused (503) when the gateway is full."""
        if not self.table.add_connection(self.slot, caps.max_sessions - self._connections_elsewhere()):
            raise self._refusal("too many sessions", 30, refusals.MAX_SESSIONS)
        return Ticket(self, caps)

    def charge(self, address: str, caps: Caps, now: float) -> int:
        """Count a connection for ``address`` and return the table's entry of it, for ``remove``.

        Raises HandshakeRefused (503) when it is one too many, or when the table has no room for
        one address more: nobody goes uncounted.
        """
        table = self.table
        key, number = table.key_of(address)
        table.lock(number)
        try:
            entry = table.find(number, key)
            found = [former.look_up(address) for former in self._previous]
            if entry is not None:
                found.append((table.connections_from(entry), table.full_at(entry)))
            if sum(connections for connections, _ in found) >= caps.max_sessions_per_ip:
                raise self._refusal("too many sessions from your address", 30, refusals.MAX_SESSIONS_PER_IP)
            full_at = max((full_at for _, full_at in found), default=0.0)
            charged = take_token(full_at, caps.rate, caps.burst, now)
            if charged is None:
                raise self._refusal("too many connections from your address", 1, refusals.MAX_CONNECT_RATE)
            if entry is None:
                entry = table.insert(number, key, now)
            if entry is None:
                raise self._refusal("too many addresses", 30, refusals.ADDRESSES)
            table.charge(entry, self.slot, charged)
        finally:
            table.unlock(number)
        return entry

    def remove(self, entry: int | None) -> None:
        """Forget one connection."""
        if entry is not None:
            self.table.discharge(entry, self.slot)
        self.table.remove_connection(self.slot)

    def _connections_elsewhere(self) -> int:
        self._previous = tuple(former for former in self._previous if former.is_counted)
        return sum(former.connections() for former in self._previous)

    def _refusal(self, reason: str, retry_after: int, cause: Refusal) -> HandshakeRefused:
        self.refused[reason] += 1
        headers = [("Retry-After", str(retry_after))]
        return HandshakeRefused(503, f"Service Unavailable: {reason}", headers, cause)


class Ticket:
    """One connection's place; given back once, whatever its end."""

    __slots__ = ("_admission", "_caps", "_entry", "_released")

    def __init__(self, admission: Admission, caps: Caps) -> None:
        self._admission = admission
        self._caps = caps
        self._entry: int | None = None
        self._released = False

    def charge(self, address: str, now: float) -> None:
        """Charge this connection to ``address``, once. Raises HandshakeRefused (503)."""
        if self._entry is None:
            self._entry = self._admission.charge(accountable_address(address), self._caps, now)

    def release(self) -> None:
        """Give the place back."""
        if not self._released:
            self._released = True
            self._admission.remove(self._entry)


def take_token(full_at: float, rate: float, burst: int, now: float) -> float | None:
    """Take a token from a bucket: return when it is full again, None if it has no token.

    A bucket is kept as one number, ``full_at``, the moment when it will be full again (the generic cell
    rate algorithm). ``rate`` is tokens per second (``math.inf`` for no limit), ``burst`` what the bucket
    holds. If listeners have different rates, an address waits for what it took at the slowest.
    """
    if rate == math.inf:
        return full_at
    full_at = max(full_at, now) + 1 / rate
    return full_at if full_at - now <= burst / rate else None


def accountable_address(address: str) -> str:
    """What an address's limits count: an IPv4 address itself, of an IPv6 one the /64 a customer gets.

    IPv4 mapped into IPv6, as a listener on ``::`` sees it, is IPv4; a zone (``%eth0``) is not part of
    it. What is no address (a Unix socket has an empty one) stays as it is.
    """
    try:
        if ":" not in address:
            inet_pton(AF_INET, address)
            return address
        packed = inet_pton(AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return address
    if packed.startswith(_IPV4_MAPPED):
        return inet_ntop(AF_INET, packed[12:])
    return inet_ntop(AF_INET6, packed[:8] + bytes(8)) + "/64"
