"""From samples to figures: medians over rounds, their spread, and the comparisons of the targets.

Samples are dicts as in the results file, so that the tables of an old run can be made again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

Samples = Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Figure:
    """The median over rounds, and the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        every = sorted(values)
        return cls(median(every), every[0], every[-1])

    def show(self, digits: int = 1) -> str:
        """As in ``66.1 (64.9–70.2)``."""
        number = f"{{:.{digits}f}}".format
        return f"{number(self.median)} ({number(self.least)}–{number(self.most)})"


@dataclass(frozen=True, slots=True)
class Target:
    """A figure with a target: ``at_most``, or at least."""

    what: str
    value: Figure
    goal: float
    at_most: bool = True
    stretch: float | None = None
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.value.median <= self.goal if self.at_most else self.value.median >= self.goal

    @property
    def goal_text(self) -> str:
        text = f"{'≤' if self.at_most else '≥'} {self.goal:g}"
        return (f"{text} (stretch {self.stretch:g})" if self.stretch else text) + (
            f" {self.unit}" if self.unit else ""
        )


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the page."""

    title: str
    header: Sequence[str]
    lines: list[list[str]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)


def values(samples: Samples, case: str, subject: str, of: Callable[[dict[str, Any]], float]) -> list[float]:
    """One value for each round, in their order."""
    chosen = [s for s in samples if s.get("case", "") == case and s["subject"] == subject]
    return [of(s) for s in sorted(chosen, key=lambda s: s["round"])]


def ratio(above: Sequence[float], below: Sequence[float]) -> Figure:
    """The ratio, round by round: a disturbance of a round affects both of its halves."""
    return Figure.of(a / b for a, b in zip(above, below, strict=True))


def us(sample: dict[str, Any]) -> float:
    """CPU for each message there and back, in µs."""
    return float(sample["cpu"] / sample["messages"] * 1e6)


def rate(sample: dict[str, Any]) -> float:
    """Messages for each second."""
    return float(sample["messages"] / sample["seconds"])


def busy(sample: dict[str, Any]) -> float:
    """Share of one core."""
    return float(sample["cpu"] / sample["seconds"])


def ordered(samples: Samples, key: str) -> list[str]:
    """The values of ``key``, in the order of their first samples."""
    return list(dict.fromkeys(s[key] for s in samples))


def _traffic_lines(samples: Samples) -> list[list[str]]:
    lines = []
    for case in ordered(samples, "case"):
        for subject in ordered([s for s in samples if s["case"] == case], "subject"):

            def of(what: Callable[[dict[str, Any]], float]) -> Figure:
                return Figure.of(values(samples, case, subject, what))  # noqa: B023 - called at once

            system = of(lambda s: s["system"] / max(s["user"] + s["system"], 1e-9))
            lines.append(
                [
                    case,
                    subject,
                    of(us).show(),
                    f"{system.median:.0%}",
                    f"{of(rate).median:.0f}",
                    f"{of(busy).median:.2f}",
                    f"{of(lambda s: s['p50']).median:.0f}",
                    f"{of(lambda s: s['p99']).median:.0f}",
                    f"{of(lambda s: s['max']).median:.0f}",
                    f"{of(lambda s: s['load_us']).median:.1f}",
                ]
            )
    return lines


TRAFFIC_HEADER = (
    "load",
    "path",
    "CPU µs/message",
    "of which kernel",
    "messages/s",
    "cores busy",
    "p50 µs",
    "p99 µs",
    "max µs",
    "generator µs/message",
)


def relay(samples: Samples) -> Table:
    """Relaying, compared with haproxy."""
    table = Table("Relaying", TRAFFIC_HEADER, _traffic_lines(samples))
    for name, secure, goal in (("relay ÷ haproxy", "", 3.0), ("TLS relay ÷ haproxy TLS", " tls", 2.5)):
        of = [values(samples, "closed loop", f"{subject}{secure}", us) for subject in ("wsgw", "haproxy")]
        table.targets.append(Target(f"CPU per message, {name}", ratio(*of), goal))
    return table


def bodies(samples: Samples) -> Table:
    """Sizes; MB for each second and core from the largest."""
    table = Table("Sizes", (*TRAFFIC_HEADER, "MB per CPU second"))
    for line in _traffic_lines(samples):
        size = int(line[0].split()[0])
        speed = Figure.of(values(samples, line[0], line[1], lambda s, n=size: n / us(s)))  # type: ignore[misc]
        table.lines.append([*line, speed.show()])
    for name, secure in (("plain", ""), ("TLS", " tls")):
        of = [values(samples, "65536 B", f"{subject}{secure}", us) for subject in ("haproxy", "wsgw")]
        what = f"MB/s per core at 64 kB ÷ haproxy's, {name}"
        table.targets.append(Target(what, ratio(*of), 0.5, at_most=False))
    return table


def latency(samples: Samples) -> Table:
    """The latency that relaying adds to a direct connection; the target is for the lightest load."""
    table = Table("Latency at fixed rates", (*TRAFFIC_HEADER, "p50 added µs"))
    added: dict[tuple[str, str], list[float]] = {}
    for case in ordered(samples, "case"):
        floor = Figure.of(values(samples, case, "direct", lambda s: float(s["p50"]))).median
        for subject in ("direct", "haproxy", "wsgw"):
            every = values(samples, case, subject, lambda s: float(s["p50"]))
            added[case, subject] = [value - floor for value in every]
    for line in _traffic_lines(samples):
        table.lines.append([*line, Figure.of(added[line[0], line[1]]).show(0)])
    light = ordered(samples, "case")[0]
    by_haproxy = Figure.of(added[light, "haproxy"]).median
    value = Figure.of(each / by_haproxy for each in added[light, "wsgw"])
    table.targets.append(Target(f"p50 added at {light} ÷ haproxy's", value, 4.0))
    return table


def storm(samples: Samples) -> Table:
    """The latency of sessions during the logins of others."""
    table = Table("Storm", ("load", "path", "messages/s", "p50 µs", "p99 µs", "max µs"))
    table.lines.extend([*line[:2], line[4], *line[6:9]] for line in _traffic_lines(samples))
    return table


def sessions(samples: Samples) -> Table:
    """Many sessions, all sending."""
    cases = ordered(samples, "case")
    table = Table("Sessions", (*TRAFFIC_HEADER, f"CPU ÷ at {cases[0]}"))
    few = {subject: values(samples, cases[0], subject, us) for subject in ordered(samples, "subject")}
    for line in _traffic_lines(samples):
        grown = ratio(values(samples, line[0], line[1], us), few[line[1]])
        table.lines.append([*line, grown.show(2)])
    most = ratio(values(samples, cases[-1], "wsgw", us), few["wsgw"])
    table.targets.append(Target(f"CPU per message at {cases[-1]} sessions ÷ at {cases[0]}", most, 1.3))
    return table


def workers(samples: Samples) -> Table:
    """Scaling."""
    return Table("Workers", TRAFFIC_HEADER, _traffic_lines(samples))


def servers(samples: Samples) -> Table:
    """The servers' own WebSockets, and the gateway in front of them: CPU of server and gateway together."""
    own, through = "own WebSocket", "wsgw and c2s"
    table = Table("Servers", (*TRAFFIC_HEADER, "of which wsgw µs"))
    for line in _traffic_lines(samples):
        part = Figure.of(values(samples, line[0], line[1], lambda s: s["gateway"] / s["messages"] * 1e6))
        table.lines.append([*line, f"{part.median:.1f}"])
    for case, most_cpu, least_rate in (("prosody", 0.95, 1.3), ("ejabberd", 1.25, 0.9)):
        for what, of, goal in (("CPU per message", us, most_cpu), ("throughput", rate, least_rate)):
            both = [values(samples, case, subject, of) for subject in (through, own)]
            name = f"{what}, wsgw and {case} ÷ {case} alone"
            table.targets.append(Target(name, ratio(*both), goal, at_most=of is us))
    return table


def login(samples: Samples) -> Table:
    """Logging in."""
    header = (
        *("load", "path", "CPU ms/login", "of which kernel", "logins/s", "cores busy"),
        *("p50 ms", "p99 ms", "max ms", "generator µs/login"),
    )
    table = Table("Logins", header)
    each: Callable[[dict[str, Any]], float] = lambda s: s["cpu"] / s["logins"] * 1e3  # noqa: E731
    for case in ordered(samples, "case"):
        for subject in ordered(samples, "subject"):

            def of(what: Callable[[dict[str, Any]], float]) -> Figure:
                return Figure.of(values(samples, case, subject, what))  # noqa: B023 - called at once

            table.lines.append(
                [
                    case,
                    subject,
                    of(each).show(2),
                    f"{of(lambda s: s['system'] / max(s['user'] + s['system'], 1e-9)).median:.0%}",
                    f"{of(lambda s: s['logins'] / s['seconds']).median:.0f}",
                    f"{of(busy).median:.2f}",
                    *(f"{of(lambda s, k=k: s[k] / 1e3).median:.0f}" for k in ("p50", "p99", "max")),  # type: ignore[misc]
                    f"{of(lambda s: s['load_us']).median:.0f}",
                ]
            )
    plain = Figure.of(values(samples, ordered(samples, "case")[0], "wsgw", each))
    table.targets.append(Target("CPU per login, plain", plain, 1.2, stretch=0.8, unit="ms"))
    return table


def memory(samples: Samples) -> Table:
    """The memory of an idle session."""
    header = ("path", "sessions", "gateway at start, MB", "kB/session, just logged in", "kB/session, idle")
    table = Table("Memory", header)
    for subject, goal, stretch in (("wsgw", 16.0, 12.0), ("wsgw tls", 40.0, None)):
        of = [s for s in samples if s["subject"] == subject]
        fresh = Figure.of((s["fresh"] - s["before"]) / s["sessions"] / 1000 for s in of)
        idle = Figure.of((s["idle"] - s["before"]) / s["sessions"] / 1000 for s in of)
        before = Figure.of(s["before"] / 1e6 for s in of)
        table.lines.append([subject, str(of[0]["sessions"]), before.show(), fresh.show(), idle.show()])
        what = f"memory per idle session, {'TLS' if 'tls' in subject else 'plain'}"
        table.targets.append(Target(what, idle, goal, stretch=stretch, unit="kB"))
    return table
