"""One measurement: the CPU time and memory of a subject while so many messages went there and back."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.bench import tree
from tests.bench.load import Load
from tests.support.certificates import Certificate, make_certificate


class Closing(Protocol):
    """A process that runs until it is closed."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Closing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of one subject in one round of any work.

    ``cpu``, ``user`` and ``system`` are the subject's seconds, ``load_us`` is the generator's CPU for each
    request in µs; the latencies are µs.
    """

    case: str
    subject: str
    round: int
    seconds: float
    cpu: float
    user: float
    system: float
    load_us: float
    p50: float
    p99: float
    max: float
    #: Cores that other programs than the benchmark used meanwhile.
    elsewhere: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample(Cost):
    """So many messages, there and back."""

    messages: int
    #: The gateway's part of ``cpu``, where a server is included.
    gateway: float

    def line(self) -> str:
        """The text for the progress line."""
        return (
            f"{self.case:>12} {self.subject:<13} round {self.round + 1}:"
            f" {self.cpu / self.messages * 1e6:7.1f} µs/message,"
            f" {self.messages / self.seconds:7.0f} messages/s, {self.cpu / self.seconds:4.2f} cores,"
            f" p50 {self.p50:.0f} µs, {self.elsewhere:.1f} cores elsewhere"
        )


class Elsewhere:
    """The CPU use of other programs of the machine since the creation of this object."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._used = self._now()

    @staticmethod
    def _now() -> float:
        return tree.machine() - tree.cpu(os.getpid()).total

    def cores(self) -> float:
        """Cores on average; not below 0, although the two clocks have different resolutions."""
        return max(0.0, (self._now() - self._used) / (time.monotonic() - self._began))


@dataclass
class Bench:
    """The settings of every row: seconds, rounds, folder."""

    rounds: int
    seconds: float
    #: The time that sessions are idle before their memory is measured, in seconds.
    hold: float
    folder: Path
    certificate: Certificate
    #: Called with the progress.
    say: Callable[[str], None]
    stack: ExitStack = field(default_factory=ExitStack)

    def keep(self, what: C) -> C:
        """Close it at the end of the row."""
        self.stack.callback(what.close)
        return what

    def fresh(self, name: str) -> Path:
        """An unused folder."""
        return Path(tempfile.mkdtemp(prefix=f"{name.replace(' ', '-')}-", dir=self.folder))

    def load(self, url: str, *, accounts: int = 1, resource: str = "r") -> Load:
        """A generator for that address, until the end of the row or of a part of it."""
        return self.keep(Load(url, self.folder / "load.log", accounts=accounts, resource=resource))

    @contextmanager
    def apart(self) -> Iterator[None]:
        """In the block, the objects that are kept are closed at its end."""
        outer, self.stack = self.stack, ExitStack()
        try:
            yield
        finally:
            self.stack.close()
            self.stack = outer


def watched(
    pids: Sequence[int], act: Callable[[], dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, float]]:
    """Let a generator ``act``; return its answer, and the fields of ``Cost`` measured meanwhile."""
    elsewhere = Elsewhere()
    before = tree.cpu(*pids)
    answer = act()
    used = tree.cpu(*pids) - before
    latency = answer["latency"]
    seen = {
        "seconds": answer["seconds"],
        "cpu": used.total,
        "user": used.user,
        "system": used.system,
        "p50": latency["p50_us"],
        "p99": latency["p99_us"],
        "max": latency["max_us"],
        "elsewhere": elsewhere.cores(),
    }
    return answer, seen


def run(
    case: str,
    subject: str,
    number: int,
    pids: Sequence[int],
    load: Load,
    seconds: float,
    *,
    gateway: Sequence[int] = (),
    **how: Any,
) -> Sample:
    """One run of the load, and the CPU of ``pids`` meanwhile; ``gateway`` are those of them that are wsgw."""
    before = tree.cpu(*gateway).total
    answer, seen = watched(pids, lambda: load.run(seconds, **how))
    messages = answer["messages"]
    return Sample(
        case=case,
        subject=subject,
        round=number,
        messages=messages,
        load_us=answer["cpu"] / messages * 1e6,
        gateway=tree.cpu(*gateway).total - before,
        **seen,
    )


@contextmanager
def bench(rounds: int, seconds: float, hold: float, say: Callable[[str], None]) -> Iterator[Bench]:
    """A bench with a folder and a certificate that are removed with it."""
    with tempfile.TemporaryDirectory(prefix="wsgw-bench-") as name:
        folder = Path(name)
        yield Bench(rounds, seconds, hold, folder, make_certificate(folder / "certificate"), say)


def as_json(samples: Sequence[Any]) -> list[dict[str, Any]]:
    """The sample for the results file."""
    return [asdict(sample) for sample in samples]
