"""A gateway whose history has an hour with some events: for tests and pictures of the status page."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator

from wsgw.ops.history import ENDED, FIGURES, INTERVAL, KEPT, REFUSED, History, Sample

#: The hour includes so many seconds after the start, in which sessions can begin: samples of the workers in
#: this time are dropped.
AHEAD = 20


def seed() -> None:
    """Fill each history of this process as soon as it is made."""
    make, add = History.__init__, History.add
    filled_until = int((time.time() + AHEAD) // INTERVAL)

    def filled(self: History) -> None:
        make(self)
        self.since = time.time() - KEPT * INTERVAL
        for sample in hour(filled_until):
            add(self, sample)

    def add_later(self: History, sample: Sample) -> bool:
        return sample.number <= filled_until or add(self, sample)

    History.__init__, History.add = filled, add_later  # type: ignore[method-assign]


def hour(last: int) -> Iterator[Sample]:
    """An hour until the interval ``last``: growth, a restart of the XMPP server, a flood of one address.

    It ends with about 130 sessions, each with a stanza every two seconds.
    """
    chance = random.Random(5)
    sessions = 70.0
    for number in range(last - KEPT + 1, last + 1):
        minute = (number - last + KEPT) * INTERVAL / 60
        sessions, named = _interval(chance, minute, sessions)
        values = [named.get(name, 0.0) for name in (*FIGURES, *ENDED, *REFUSED)]
        yield Sample(number, values)


def _interval(chance: random.Random, minute: float, sessions: float) -> tuple[float, dict[str, float]]:
    """The sessions after the interval that ends at ``minute``, and its figures."""

    def some(expected: float) -> float:
        """A whole number that is ``expected`` on average."""
        return float(math.floor(expected) + (chance.random() < expected % 1))

    down, after, flood = 22 <= minute < 24, 24 <= minute < 27, 41 <= minute < 45
    logins = (
        0.0 if down else some(sessions / 185 + 0.09) + (some(max(0.0, (95 - sessions) / 4)) if after else 0)
    )
    ended = {
        "closed_by_client": some(sessions / 350),
        "browser_lost": some(sessions / 600),
        "browser_left": some(sessions / 1500),
        "no_pong": some(0.02),
        "upstream_failed": some(sessions * 0.25) if down else 0.0,
    }
    sessions = max(4.0, sessions + logins - sum(ended.values()))
    wave = 5 * sessions * (1 + 0.25 * math.sin(minute / 4))
    took = 0.004 + (0.03 if minute < 25 and after else 0)
    return sessions, {
        "lag": abs(chance.gauss(0.002, 0.001)) + (0.04 if 24 <= minute < 24.3 else 0) + 0.004 * flood,
        "workers": 2.0,
        "sessions": sessions,
        "logged_in": sessions - some(0.6),
        "opened": logins,
        "logins": logins,
        "failed_logins": some(0.03),
        "stanzas_from_client": some(0.4 * wave * chance.gauss(1, 0.05)),
        "stanzas_to_client": some(0.9 * wave * chance.gauss(1, 0.05)),
        "connects": logins,
        "connect_seconds": logins * took * chance.gauss(1, 0.1),
        "max_connect_rate_per_ip": some(180 * chance.random()) if flood else 0.0,
        "max_sessions_per_ip": some(40 * chance.random()) if flood else 0.0,
        "handshake": some(0.15),
        "no_request": some(0.1),
        **ended,
    }
