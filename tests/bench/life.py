"""Rows about sessions themselves: what logging in costs, what an idle one holds."""

from __future__ import annotations

import time
from dataclasses import dataclass

from . import tree
from .measure import Bench, Elsewhere
from .subjects import Stub, Wsgw

#: Sessions logged in and out before anything is measured, so that what is made once is made.
WARM_UP = 100
LOGINS = 500
STORM = 1000
IDLE = 2000


@dataclass(frozen=True, slots=True)
class LoginSample:
    """So many logins, ``parallel`` at a time. CPU in seconds, latency of one login in µs."""

    case: str
    subject: str
    round: int
    logins: int
    seconds: float
    cpu: float
    user: float
    system: float
    load_us: float
    p50: float
    p99: float
    max: float
    elsewhere: float


@dataclass(frozen=True, slots=True)
class MemorySample:
    """Resident bytes of the gateway: before, with ``sessions`` just logged in, and after a while idle."""

    subject: str
    round: int
    sessions: int
    before: int
    fresh: int
    idle: int
    idle_seconds: float


def login(bench: Bench) -> list[LoginSample]:
    """16 at a time, and a storm: everybody at once."""
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
                elsewhere = Elsewhere()
                before = tree.cpu(*wsgw.pids)
                answer = load.login(count, parallel)
                used = tree.cpu(*wsgw.pids) - before
                others = elsewhere.cores()
                load.logout()
                times = answer["latency"]
                samples.append(
                    LoginSample(
                        *(case, name, number, count, answer["seconds"]),
                        *(used.total, used.user, used.system, answer["cpu"] / count * 1e6),
                        *(times["p50_us"], times["p99_us"], times["max_us"], others),
                    )
                )
                bench.say(
                    f"{case:>12} {name:<12} round {number + 1}: {used.total / count * 1e3:6.3f} ms/login,"
                    f" {count / answer['seconds']:6.0f} logins/s, max {times['max_us'] / 1e3:.0f} ms"
                )
    return samples


def memory(bench: Bench) -> list[MemorySample]:
    """Fresh gateways each round, since memory is not all given back; plain and TLS are idle together."""
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
