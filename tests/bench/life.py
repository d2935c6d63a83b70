"""Rows about sessions: the cost of a login, and the memory of an idle session."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from tests.bench import tree
from tests.bench.measure import Bench, Cost, watched
from tests.bench.subjects import Stub, Wsgw

#: Sessions before the first measurement, so that the objects that are made once exist.
WARM_UP = 100
LOGINS = 500
STORM = 1000
IDLE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSample(Cost):
    """So many logins."""

    logins: int

    def line(self) -> str:
        """The text for the progress line."""
        return (
            f"{self.case:>12} {self.subject:<12} round {self.round + 1}:"
            f" {self.cpu / self.logins * 1e3:6.3f} ms/login,"
            f" {self.logins / self.seconds:6.0f} logins/s, max {self.max / 1e3:.0f} ms"
        )


@dataclass(frozen=True, slots=True)
class MemorySample:
    """Resident bytes of the gateway: before, with ``bindings`` just logged in, and after a while idle."""

    subject: str
    round: int
    sessions: int
    before: int
    fresh: int
    idle: int
    idle_seconds: float


def login(bench: Bench) -> list[LoginSample]:
    """16 at a time, and a storm: all at once."""
    stub = bench.keep(Stub(bench.fresh("stub")))
    wsgw = bench.keep(Wsgw(bench.fresh("wsgw"), bench.certificate, stub.port))
    samples = []
    loads = {"wsgw": bench.load(wsgw.ws), "wsgw tls": bench.load(wsgw.wss)}
    for load in loads.values():
        load.login(WARM_UP)
        load.logout()
    for case, count, parallel in (("16 at a time", LOGINS, 16), ("storm", STORM, STORM)):
        for number in range(bench.rounds):
            for name, load in loads.items():
                answer, seen = watched(wsgw.pids, partial(load.login, count, parallel))
                load.logout()
                sample = LoginSample(
                    case=case,
                    subject=name,
                    round=number,
                    logins=count,
                    load_us=answer["cpu"] / count * 1e6,
                    **seen,
                )
                samples.append(sample)
                bench.say(sample.line())
    return samples


def memory(bench: Bench) -> list[MemorySample]:
    """Fresh gateways in each round, since not all memory is freed; plain and TLS are idle together."""
    stub = bench.keep(Stub(bench.fresh("stub")))
    samples = []
    for number in range(bench.rounds):
        with bench.apart():
            gateways = {
                name: _filled(bench, stub, secure) for name, secure in (("wsgw", False), ("wsgw tls", True))
            }
            time.sleep(bench.hold)
            for name, (wsgw, before, fresh) in gateways.items():
                idle = tree.rss(*wsgw.pids)
                samples.append(MemorySample(name, number, IDLE, before, fresh, idle, bench.hold))
                bench.say(
                    f"{name:<12} round {number + 1}: {IDLE} sessions,"
                    f" {(fresh - before) / IDLE / 1000:.1f} kB each,"
                    f" {(idle - before) / IDLE / 1000:.1f} kB after {bench.hold:.0f} s idle"
                )
    return samples


def _filled(bench: Bench, stub: Stub, secure: bool) -> tuple[Wsgw, int, int]:
    """A gateway with ``IDLE`` sessions, and its resident bytes before and with them."""
    wsgw = bench.keep(Wsgw(bench.fresh("wsgw"), bench.certificate, stub.port))
    load = bench.load(wsgw.wss if secure else wsgw.ws)
    load.login(WARM_UP)
    load.logout()
    before = tree.rss(*wsgw.pids)
    load.login(IDLE)
    return wsgw, before, tree.rss(*wsgw.pids)
