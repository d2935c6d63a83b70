"""Whether a connection is admitted: the limits of connections, in all and per address, and of their rate.

The limits are those of the whole gateway: all workers count in one shared table, and also add the counts of
previous parents that still serve their last sessions. A connection gets a ``Ticket`` when it is accepted. The
ticket is charged to the client's address as soon as it is known (at once, or behind a proxy after the
request), and released when the connection ends. The module reads no clock: callers give ``now`` (seconds,
monotonic, one clock for all workers). It has no Erlang twin: the original had no such limits.
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


class ConnectionLimits(NamedTuple):
    """The limits of one listener; without a limit ``math.inf`` or ``sys.maxsize``."""

    #: Connections at a time, including those still in a handshake.
    max_sessions: int
    max_sessions_per_ip: int
    #: New connections from one address: per second, and at once.
    rate: float
    burst: int


class Admission:
    """Counts the connections of a whole gateway, and admits new ones up to the limits."""

    def __init__(self, table: SharedTable, slot: int, previous: Iterable[SharedTable] = ()) -> None:
        """``slot``: this worker's column in ``table``. ``previous``: the tables of previous parents."""
        self.table = table
        self._previous = tuple(previous)
        self.slot = slot
        #: Connections that this worker has refused, by reason.
        self.refused: Counter[str] = Counter()
        table.use_slot(slot)

    @property
    def connections(self) -> int:
        """The number of connections of the gateway, those of previous parents included."""
        return self.table.connections() + self._previous_connections()

    def admit(self, limits: ConnectionLimits) -> Ticket:
        """A ticket for a new connection. Raises HandshakeRefused (503) if ``max_sessions`` is reached."""
        if not self.table.add_connection(self.slot, limits.max_sessions - self._previous_connections()):
            raise self._refusal("too many sessions", 30, refusals.MAX_SESSIONS)
        return Ticket(self, limits)

    def charge(self, address: str, limits: ConnectionLimits, now: float) -> int:
        """Count a connection of ``address``; returns the entry of the address in the table, for ``remove``.

        Raises HandshakeRefused (503) if a limit of the address is reached. If the table has no room for
        another address it also refuses: a connection that is not counted could evade the limits.
        """
        table = self.table
        key, number = table.key_of(address)
        table.lock(number)
        try:
            entry = table.find(number, key)
            found = [other.look_up(address) for other in self._previous]
            if entry is not None:
                found.append((table.connections_from(entry), table.full_at(entry)))
            if sum(connections for connections, _ in found) >= limits.max_sessions_per_ip:
                raise self._refusal("too many sessions from your address", 30, refusals.MAX_SESSIONS_PER_IP)
            full_at = max((full_at for _, full_at in found), default=0.0)
            charged = take_token(full_at, limits.rate, limits.burst, now)
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
        """Count one connection less; ``entry`` is the one that ``charge`` returned, or None."""
        if entry is not None:
            self.table.discharge(entry, self.slot)
        self.table.remove_connection(self.slot)

    def _previous_connections(self) -> int:
        """The number of connections that previous parents still serve."""
        self._previous = tuple(table for table in self._previous if table.is_counted)
        return sum(table.connections() for table in self._previous)

    def _refusal(self, reason: str, retry_after: int, cause: Refusal) -> HandshakeRefused:
        self.refused[reason] += 1
        headers = [("Retry-After", str(retry_after))]
        return HandshakeRefused(503, f"Service Unavailable: {reason}", headers, cause)


class Ticket:
    """The right of one connection to exist, which counts towards the limits until ``release``."""

    __slots__ = ("_admission", "_entry", "_limits", "_released")

    def __init__(self, admission: Admission, limits: ConnectionLimits) -> None:
        self._admission = admission
        self._limits = limits
        self._entry: int | None = None
        self._released = False

    def charge(self, address: str, now: float) -> None:
        """Count this connection for ``address``; further calls do nothing. Raises HandshakeRefused (503)."""
        if self._entry is None:
            self._entry = self._admission.charge(accountable_address(address), self._limits, now)

    def release(self) -> None:
        """Count the connection no longer; further calls do nothing."""
        if not self._released:
            self._released = True
            self._admission.remove(self._entry)


def take_token(full_at: float, rate: float, burst: int, now: float) -> float | None:
    """Take a token from a token bucket; returns when the bucket is full again, None if it has no token.

    A bucket is stored as one number, ``full_at``: the time when it will be full again (generic cell rate
    algorithm). ``rate``: tokens per second, ``math.inf`` for no limit. ``burst``: the size of the bucket in
    tokens. If listeners have different rates, a token taken at a slow one also delays the fast ones.
    """
    if rate == math.inf:
        return full_at
    full_at = max(full_at, now) + 1 / rate
    return full_at if full_at - now <= burst / rate else None


def accountable_address(address: str) -> str:
    """The address for which connections are counted: an IPv4 address, or the /64 network of an IPv6 address.

    A customer of a provider usually has one /64. An IPv4-mapped IPv6 address, as a listener on ``::`` reports
    it, counts as IPv4; a zone (``%eth0``) is ignored. Any other text is returned unchanged (a Unix socket has
    an empty address).
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
