"""How often one address may connect: a token bucket, kept as one number.

The number is the moment when the bucket will be full again (the generic cell rate algorithm); where
it is kept is the caller's matter. It reads no clock, ``now`` (seconds, monotonic) comes with the call.
Erlang twin: none, the original took connections at any rate.
"""

from __future__ import annotations

import math


def take_token(full_at: float, rate: float, burst: int, now: float) -> float | None:
    """Return when a bucket is full again after a token was taken from it; None if it has none.

    ``rate`` is tokens per second (``math.inf`` for no limit), ``burst`` what the bucket holds. A bucket
    is owed time: if listeners have different rates, an address waits for what it took at the slowest.
    """
    if rate == math.inf:
        return full_at
    full_at = max(full_at, now) + 1 / rate
    return full_at if full_at - now <= burst / rate else None
