"""Rows with messages to the stub: relaying, sizes, latency, a storm, many sessions, workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.bench.load import Load
from tests.bench.measure import Bench, Sample, run
from tests.bench.subjects import Haproxy, Stub, Wsgw, descriptor_limit, has_workers

SESSIONS = 64
#: The seconds before a measured run in which every session sends a message.
WARM_UP = 0.3


@dataclass(frozen=True, slots=True)
class Path:
    """One path to the stub: its name, the measured processes on it, a generator logged in through it."""

    name: str
    pids: tuple[int, ...]
    load: Load


def _paths(bench: Bench, sessions: int, *wanted: str) -> list[Path]:
    """The wanted paths of ``direct``, ``haproxy``, ``haproxy tls``, ``wsgw`` and ``wsgw tls``, logged in."""
    stub = bench.keep(Stub(bench.fresh("stub")))
    haproxy = bench.keep(Haproxy(bench.fresh("haproxy"), bench.certificate, stub))
    wsgw = bench.keep(Wsgw(bench.fresh("wsgw"), bench.certificate, stub.port))
    ways = {
        "direct": (stub.ws, stub.pids),
        "haproxy": (haproxy.ws, haproxy.pids),
        "haproxy tls": (haproxy.wss, haproxy.pids),
        "wsgw": (wsgw.ws, wsgw.pids),
        "wsgw tls": (wsgw.wss, wsgw.pids),
    }
    paths = []
    for name in wanted:
        url, pids = ways[name]
        load = bench.load(url)
        load.login(sessions)
        paths.append(Path(name, pids, load))
    return paths


def _rounds(bench: Bench, case: str, paths: list[Path], *, body: int = 100, rate: float = 0) -> list[Sample]:
    """The paths in turn, as often as there are rounds."""
    for path in paths:
        path.load.run(WARM_UP, body, rate=rate)
    return [
        _once(bench, case, path, number, body=body, rate=rate)
        for number in range(bench.rounds)
        for path in paths
    ]


def _once(bench: Bench, case: str, path: Path, number: int, *, seconds: float = 0, **how: Any) -> Sample:
    sample = run(case, path.name, number, path.pids, path.load, seconds or bench.seconds, **how)
    bench.say(sample.line())
    return sample


def relay(bench: Bench) -> list[Sample]:
    """64 sessions, one 100-byte message in flight on each."""
    paths = _paths(bench, SESSIONS, "direct", "haproxy", "wsgw", "haproxy tls", "wsgw tls")
    return _rounds(bench, "closed loop", paths)


def bodies(bench: Bench) -> list[Sample]:
    """Larger messages."""
    samples = []
    paths = _paths(bench, SESSIONS, "haproxy", "wsgw", "haproxy tls", "wsgw tls")
    for size in (100, 4096, 65536):
        samples += _rounds(bench, f"{size} B", paths, body=size)
    return samples


#: Messages for each second in all: a light load, and one that a core carries well.
RATES = (500, 5000)


def latency(bench: Bench) -> list[Sample]:
    """Fixed rates, independent of the answers."""
    samples = []
    paths = _paths(bench, SESSIONS, "direct", "haproxy", "wsgw")
    for rate in RATES:
        samples += _rounds(bench, f"{rate}/s", paths, rate=rate)
    return samples


#: The sessions that log in at once, and the seconds for which others are measured meanwhile.
STORM = 1000
STORM_SECONDS = 1.0


def storm(bench: Bench) -> list[Sample]:
    """The light load, alone and while many others log in at once."""
    paths = _paths(bench, SESSIONS, "haproxy", "wsgw")
    storms = [bench.load(path.load.url) for path in paths]
    samples = []
    for path in paths:
        path.load.run(WARM_UP, rate=RATES[0])
    with ThreadPoolExecutor(1) as beside:
        for number in range(bench.rounds):
            for path, others in zip(paths, storms, strict=True):
                samples.append(_once(bench, "quiet", path, number, rate=RATES[0]))
                login = beside.submit(others.login, STORM, STORM)
                samples.append(_once(bench, "storm", path, number, seconds=STORM_SECONDS, rate=RATES[0]))
                login.result()
                others.logout()
    return samples


def sessions(bench: Bench) -> list[Sample]:
    """64, 1000, and as many as one process has descriptors for; all send. All are open together."""
    most = (descriptor_limit() - 300) // 2
    paths = {count: _paths(bench, count, "haproxy", "wsgw") for count in (SESSIONS, 1000, most)}
    for path in (path for some in paths.values() for path in some):
        path.load.run(WARM_UP)
    return [
        _once(bench, str(count), path, number)
        for number in range(bench.rounds)
        for count, some in paths.items()
        for path in some
    ]


def workers(bench: Bench) -> list[Sample]:
    """One worker and two, the same load."""
    if not has_workers():
        bench.say("this wsgw has no option `workers`: nothing to compare")
        return []
    stub = bench.keep(Stub(bench.fresh("stub")))
    paths = []
    for count in (1, 2):
        wsgw = bench.keep(Wsgw(bench.fresh("wsgw"), bench.certificate, stub.port, count))
        load = bench.load(wsgw.ws)
        load.login(SESSIONS)
        paths.append(Path(f"{count} workers" if count > 1 else "1 worker", wsgw.pids, load))
    return _rounds(bench, "closed loop", paths)
