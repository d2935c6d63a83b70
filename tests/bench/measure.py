"""One measurement: what a subject used while so many messages went there and back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from real.certificates import Certificate, make_certificate

from . import tree
from .load import Load


class Closing(Protocol):
    """What runs until it is closed."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Closing)


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen of one subject in one round.

    ``cpu``, ``user`` and ``system`` are the subject's seconds, ``load_us`` is the generator's CPU for each
    message in µs; the latencies are µs.
    """

    case: str
    subject: str
    round: int
    messages: int
    seconds: float
    cpu: float
    user: float
    system: float
    load_us: float
    p50: float
    p99: float
    max: float

    @property
    def us(self) -> float:
        """The subject's CPU for each message there and back, in µs."""
        return self.cpu / self.messages * 1e6

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def busy(self) -> float:
        """Share of one core that the subject used."""
        return self.cpu / self.seconds


@dataclass
class Bench:
    """What every row needs: how long, how often, where."""

    rounds: int
    seconds: float
    #: How long sessions are idle before their memory is looked at, in seconds.
    hold: float
    folder: Path
    certificate: Certificate
    #: Told what goes on.
    say: Callable[[str], None]
    stack: ExitStack = field(default_factory=ExitStack)

    def keep(self, what: C) -> C:
        """Close it when the row is over."""
        self.stack.callback(what.close)
        return what

    def load(self, url: str, *, accounts: int = 1, resource: str = "r") -> Load:
        """A generator for that address, until the row, or part of it, is over."""
        return self.keep(Load(url, self.folder / "load.log", accounts=accounts, resource=resource))

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Whatever was kept inside is closed at the end."""
        outer, self.stack = self.stack, ExitStack()
        try:
            yield
        finally:
            self.stack.close()
            self.stack = outer


def run(
    case: str, subject: str, number: int, pids: Sequence[int], load: Load, seconds: float, **how: Any
) -> Sample:
    """One run of the load, and the CPU of ``pids`` meanwhile."""
    before = tree.cpu(*pids)
    answer = load.run(seconds, **how)
    used = tree.cpu(*pids) - before
    latency = answer["latency"]
    return Sample(
        case,
        subject,
        number,
        answer["messages"],
        answer["seconds"],
        used.total,
        used.user,
        used.system,
        answer["cpu"] / answer["messages"] * 1e6,
        latency["p50_us"],
        latency["p99_us"],
        latency["max_us"],
    )


@contextmanager
def bench(rounds: int, seconds: float, hold: float, say: Callable[[str], None]) -> Iterator[Bench]:
    """A bench with a folder and a certificate that go with it."""
    with tempfile.TemporaryDirectory(prefix="wsgw-bench-") as name:
        folder = Path(name)
        yield Bench(rounds, seconds, hold, folder, make_certificate(folder / "certificate"), say)


def as_json(samples: Sequence[Any]) -> list[dict[str, Any]]:
    """For the results file."""
    return [asdict(sample) for sample in samples]
