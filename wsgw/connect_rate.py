"""How often one address may connect: a token bucket each, in bounded memory.

A bucket is kept as the moment when it will be full again (the generic cell rate algorithm): one
number an address, and none once it is full. It reads no clock, ``now`` (seconds, monotonic) comes
with the call. Erlang twin: none, the original took connections at any rate.
"""

from __future__ import annotations

#: Addresses remembered at most; about 100 bytes each.
MAX_ADDRESSES = 50_000


class ConnectRate:
    """The buckets of all addresses; the rate comes with each call, as listeners may differ."""

    def __init__(self, max_addresses: int = MAX_ADDRESSES) -> None:
        self._max_addresses = max_addresses
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        """Addresses remembered."""
        return len(self._full_at)

    def allows(self, address: str, rate: float, burst: int, now: float) -> bool:
        """Take a token of ``address``; False, and nothing taken, if it has none.

        ``rate`` is tokens per second (``math.inf`` for no limit), ``burst`` what a bucket holds.
        """
        full_at = max(self._full_at.get(address, now), now) + 1 / rate
        if full_at - now > burst / rate:
            return False
        if address not in self._full_at and len(self._full_at) >= self._max_addresses:
            self._forget(now)
        self._full_at[address] = full_at
        return True

    def _forget(self, now: float) -> None:
        """Let full buckets go; if most are not, the half that is nearest to it."""
        self._full_at = {address: full_at for address, full_at in self._full_at.items() if full_at > now}
        if len(self._full_at) > self._max_addresses // 2:
            emptiest_first = sorted(self._full_at.items(), key=lambda bucket: bucket[1], reverse=True)
            self._full_at = dict(emptiest_first[: self._max_addresses // 2])
