"""One worker's part of the history: its figures of each interval (``history``)."""

from __future__ import annotations

from collections.abc import Iterable
from time import time

from wsgw.ops.history import ENDED, INTERVAL, REFUSED, History, Sample
from wsgw.telemetry.tally import Survey, Tally

#: How many of ``_counts`` are figures of the traffic; the others are ends and refusals.
_TRAFFIC = 5


class Recorder:
    """Adds the figures of one worker to the history, after each interval those since the previous one."""

    def __init__(self, history: History) -> None:
        self._history = history
        #: The number of the interval whose figures are collected: its end, divided by ``INTERVAL``.
        self._number = _interval()
        #: The counts that are in the history already.
        self._recorded = [0] * (_TRAFFIC + len(ENDED) + len(REFUSED))
        self._lag = 0.0
        self._connects = 0
        self._connect_seconds = 0.0

    def note_lag(self, seconds: float) -> None:
        """Record that the event loop ran a timer ``seconds`` late."""
        self._lag = max(self._lag, seconds)

    def note_connects(self, times: Iterable[float]) -> None:
        """Record how many seconds connections to the XMPP server took; each one once."""
        for seconds in times:
            self._connects += 1
            self._connect_seconds += seconds

    @property
    def is_due(self) -> bool:
        """Whether the interval is over."""
        return _interval() != self._number

    def record(self, survey: Survey, tally: Tally, *, last: bool = False) -> None:
        """Add the figures of the interval to the history if it is over.

        With ``last`` the worker ends: add its counts even so, but no longer its sessions.
        """
        if not (last or self.is_due):
            return
        counts = _counts(tally, survey)
        changes = [now - before for now, before in zip(counts, self._recorded, strict=True)]
        standing = (0, 0, 0) if last else (1, sum(survey.groups.values()), survey.logged_in)
        traffic, causes = changes[:_TRAFFIC], changes[_TRAFFIC:]
        values = (self._lag, *standing, *traffic, self._connects, self._connect_seconds, *causes)
        # If the clock was changed or this process was stopped, the figures are those of the last interval.
        if self._history.add(Sample(self._number if last else _interval() - 1, values)):
            self._number, self._recorded = _interval(), counts
            self._lag = self._connect_seconds = 0.0
            self._connects = 0


def _counts(tally: Tally, survey: Survey) -> list[int]:
    """The counts of which the history has the changes, in its order."""
    passed = survey.passed
    refused = dict.fromkeys(REFUSED, 0)
    for (reason, _status), count in tally.refused.items():
        if reason in refused:
            refused[reason] += count
    return [
        tally.opened,
        passed.logins,
        passed.failed_logins,
        passed.stanzas_from_client,
        passed.stanzas_to_client,
        *(tally.closed[cause] for cause in ENDED),
        *refused.values(),
    ]


def _interval() -> int:
    """The number of the present interval."""
    return int(time() // INTERVAL) + 1
