"""A gateway whose history has an hour of a busy evening: for tests and pictures of the status page."""

from __future__ import annotations

import math
import random
import time

from wsgw.ops.history import ENDED, FIGURES, INTERVAL, KEPT, REFUSED, History, Sample


def seed() -> None:
    """Fill each history of this process as soon as it is made."""
    make = History.__init__

    def filled(self: History) -> None:
        make(self)
        self.since = time.time() - KEPT * INTERVAL
        fill(self, int(time.time() // INTERVAL))

    History.__init__ = filled  # type: ignore[method-assign]


def fill(history: History, last: int) -> None:
    """An hour until the interval ``last``: growth, a restart of the XMPP server, a flood of one address."""
    chance = random.Random(1)
    sessions = 2600.0
    for number in range(last - KEPT + 1, last + 1):
        minute = (number - last + KEPT) * INTERVAL / 60
        down, flood = 22 <= minute < 24, 41 <= minute < 45
        logins = chance.gauss(3, 1) * INTERVAL + (260 * math.exp(-(minute - 24) / 1.2) if minute >= 24 else 0)
        ended = {
            "closed_by_client": chance.gauss(6, 2),
            "browser_lost": chance.gauss(4, 2),
            "browser_left": chance.gauss(2, 1),
            "no_pong": float(chance.random() < 0.2),
            "idle": float(chance.random() < 0.1),
            "upstream_failed": sessions * 0.2 if down else 0,
        }
        logins = 0 if down else logins
        sessions = max(30.0, sessions + logins - sum(ended.values()))
        wave = 1 + 0.25 * math.sin(minute / 4)
        named = {
            "lag": abs(chance.gauss(0.002, 0.001)) + (0.04 if 24 <= minute < 24.5 else 0) + 0.004 * flood,
            "workers": 2,
            "sessions": sessions,
            "logged_in": sessions * 0.985,
            "opened": logins * 1.03,
            "logins": logins,
            "failed_logins": abs(chance.gauss(0.1, 0.1)) * INTERVAL,
            "stanzas_from_client": sessions * 0.05 * INTERVAL * wave * chance.gauss(1, 0.04),
            "stanzas_to_client": sessions * 0.11 * INTERVAL * wave * chance.gauss(1, 0.04),
            "connects": logins * 1.03,
            "connect_seconds": logins
            * 1.03
            * (0.004 + (0.03 if 24 <= minute < 25 else 0))
            * chance.gauss(1, 0.1),
            "max_connect_rate_per_ip": 180 * chance.random() if flood else 0,
            "max_sessions_per_ip": 40 * chance.random() if flood else 0,
            "handshake": float(chance.random() < 0.15),
            "no_request": float(chance.random() < 0.1),
            **ended,
        }
        kept = ("lag", "connect_seconds")
        values = [
            named.get(name, 0.0) if name in kept else float(max(0, round(named.get(name, 0.0))))
            for name in (*FIGURES, *ENDED, *REFUSED)
        ]
        history.add(Sample(number, values))
