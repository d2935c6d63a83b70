"""Who may connect: caps on connections in all and per address, and the rate of new ones per address.

A connection takes a ``Ticket`` when it is accepted, has it charged to an address as soon as that is
known (at once, or behind a proxy after the request), and gives it back when it is gone. It reads no
clock, ``now`` (seconds, monotonic) comes with the call. Erlang twin: none, the original had no caps.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from wsgw.connect_rate import ConnectRate
from wsgw.errors import HandshakeRefused


class Caps(NamedTuple):
    """The limits of one listener; ``math.inf`` and ``sys.maxsize`` for none."""

    #: Connections at a time, those still shaking hands included.
    max_sessions: int
    max_sessions_per_ip: int
    #: New connections of one address: per second, and at once.
    rate: float
    burst: int


class Admission:
    """The connections of a whole gateway, counted."""

    def __init__(self) -> None:
        #: Connections that hold a ticket.
        self.connections = 0
        #: The same by address, of those that are charged to one.
        self.by_address: Counter[str] = Counter()
        #: Connections turned away, by reason.
        self.refused: Counter[str] = Counter()
        self._rate = ConnectRate()

    def admit(self, caps: Caps) -> Ticket:
        """Return a ticket. Raises HandshakeRefused (503) when the gateway is full."""
        if self.connections >= caps.max_sessions:
            raise self._refusal("too many sessions", 30)
        self.connections += 1
        return Ticket(self, caps)

    def charge(self, address: str, caps: Caps, now: float) -> None:
        """Count a connection for ``address``. Raises HandshakeRefused (503) when it is one too many."""
        if self.by_address[address] >= caps.max_sessions_per_ip:
            raise self._refusal("too many sessions from your address", 30)
        if not self._rate.allows(address, caps.rate, caps.burst, now):
            raise self._refusal("too many connections from your address", 1)
        self.by_address[address] += 1

    def leave(self, address: str | None) -> None:
        """Forget one connection."""
        self.connections -= 1
        if address is not None:
            self.by_address[address] -= 1
            if not self.by_address[address]:
                del self.by_address[address]

    def _refusal(self, reason: str, retry_after: int) -> HandshakeRefused:
        self.refused[reason] += 1
        return HandshakeRefused(503, f"Service Unavailable: {reason}", [("Retry-After", str(retry_after))])


class Ticket:
    """One connection's place; given back once, whatever its end."""

    __slots__ = ("_address", "_admission", "_caps", "_released")

    def __init__(self, admission: Admission, caps: Caps) -> None:
        self._admission = admission
        self._caps = caps
        self._address: str | None = None
        self._released = False

    def charge(self, address: str, now: float) -> None:
        """Charge this connection to ``address``, once. Raises HandshakeRefused (503)."""
        if self._address is None:
            accountable = accountable_address(address)
            self._admission.charge(accountable, self._caps, now)
            self._address = accountable

    def release(self) -> None:
        """Give the place back."""
        if not self._released:
            self._released = True
            self._admission.leave(self._address)


def accountable_address(address: str) -> str:
    """What an address's limits count: an IPv4 address itself, of an IPv6 one the /64 a customer gets."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
