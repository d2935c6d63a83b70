"""The samples of the last hour as tables, for readers without plots: in steps of minutes, and by cause."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from wsgw.ops.history import ENDED, FIGURES, INTERVAL, REFUSED, Sample

#: Seconds of a step, and of the time whose rates are those of now.
STEP: Final = 300
_RECENT: Final = 60
_COLUMN: Final = {name: place for place, name in enumerate(FIGURES)}
_ENDED: Final = slice(len(FIGURES), len(FIGURES) + len(ENDED))
_REFUSED: Final = slice(len(FIGURES) + len(ENDED), None)


class Step(NamedTuple):
    """Several samples together."""

    #: The end of the last one, in seconds since the epoch; 0 without samples.
    at: float
    #: Sessions at the end.
    sessions: int
    #: A second.
    logins: float
    stanzas_from_client: float
    stanzas_to_client: float
    #: The longest delay of an event loop, and the mean time to connect to the XMPP server; both in seconds.
    lag: float
    connect: float | None
    #: Numbers of sessions and connections.
    ended: int
    refused: int


def recent(samples: Sequence[Sample]) -> Step:
    """The last minute of ``samples``, which are in order of time, as all those below."""
    begin = samples[-1].number - _RECENT // INTERVAL if samples else 0
    return _together([sample for sample in samples[-_RECENT // INTERVAL :] if sample.number > begin])


def steps(samples: Sequence[Sample]) -> Iterator[Step]:
    """All of ``samples``, the latest step first. Steps begin at whole multiples of ``STEP``."""
    for _, group in groupby(reversed(samples), lambda sample: (sample.number * INTERVAL - 1) // STEP):
        yield _together(list(group)[::-1])


def by_cause(samples: Sequence[Sample]) -> tuple[dict[str, int], dict[str, int]]:
    """How many sessions ended, by cause, and how many connections were refused, by reason.

    The most frequent ones come first; those that did not occur are missing.
    """
    ended = _sums(ENDED, (sample.values[_ENDED] for sample in samples))
    return ended, _sums(REFUSED, (sample.values[_REFUSED] for sample in samples))


def _sums(names: Sequence[str], rows: Iterable[Sequence[float]]) -> dict[str, int]:
    sums = {name: int(sum(column)) for name, column in zip(names, zip(*rows, strict=True), strict=False)}
    return {name: count for name, count in sorted(sums.items(), key=lambda item: -item[1]) if count}


def _together(samples: Sequence[Sample]) -> Step:
    seconds = max(1, len(samples)) * INTERVAL

    def total(name: str) -> float:
        return sum(sample.values[_COLUMN[name]] for sample in samples)

    connects = total("connects")
    last = samples[-1] if samples else None
    return Step(
        at=last.number * INTERVAL if last else 0,
        sessions=int(last.values[_COLUMN["sessions"]]) if last else 0,
        logins=total("logins") / seconds,
        stanzas_from_client=total("stanzas_from_client") / seconds,
        stanzas_to_client=total("stanzas_to_client") / seconds,
        lag=max((sample.values[_COLUMN["lag"]] for sample in samples), default=0.0),
        connect=total("connect_seconds") / connects if connects else None,
        ended=int(sum(sum(sample.values[_ENDED]) for sample in samples)),
        refused=int(sum(sum(sample.values[_REFUSED]) for sample in samples)),
    )
