"""The last hour of a gateway: one sample for every five seconds, in memory that all workers share.

A sample is a row of totals over all workers: numbers, never a name or an address. The parent makes the
memory before it forks, but does not fill it, because it serves no sessions. No single worker samples for all
either: each one adds its figures of an interval to the row of the interval, as soon as the interval is over.
The first worker to do so clears the row, which had the figures of an hour before. Intervals are numbered by
the clock, so the workers need no agreement; when one of them dies, no sample is lost or taken twice, and the
sample lacks only its figures.

Workers add under the kernel's lock on the file, which is released if its holder dies. No worker waits for
the lock: if another one has it, the figures are added a moment later. The memory takes about 260 kB, for any
number of workers. A new parent makes new memory: after an upgrade the history begins again.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
import weakref
from collections.abc import Iterable, Sequence
from itertools import islice
from struct import Struct
from typing import Any, Final, NamedTuple

from wsgw.errors.causes import LABELS
from wsgw.errors.refusals import REFUSALS

#: Seconds of an interval, and how many intervals are kept: those of one hour.
INTERVAL, KEPT = 5, 720
#: Seconds after the end of an interval in which the workers add their figures.
SETTLING: Final = 1.0
FIGURES: Final = (
    "lag",  # the longest delay of a worker's event loop, in seconds; all others are sums
    "workers",  # workers that have added their figures
    "sessions",  # sessions at the end of the interval
    "logged_in",
    "opened",  # sessions that began in the interval
    "logins",
    "failed_logins",
    "stanzas_from_client",
    "stanzas_to_client",
    "connects",  # connections to the XMPP server
    "connect_seconds",  # the time that these took, all together
)
#: Sessions that ended, by cause.
ENDED: Final = tuple(LABELS)
#: Refused connections, by reason; not the requests that wsgw answers with 200, such as health checks.
REFUSED: Final = tuple(refusal.label for refusal in REFUSALS if 200 not in refusal.statuses)
_VALUES: Final = len(FIGURES) + len(ENDED) + len(REFUSED)
#: The number of the interval, and the figures in the order of ``FIGURES``, ``ENDED``, ``REFUSED``.
_ROW: Final = Struct(f"={1 + _VALUES}d")


class Sample(NamedTuple):
    """The figures of one interval."""

    #: The end of the interval in seconds since the epoch, divided by ``INTERVAL``.
    number: int
    #: In the order of ``FIGURES``, ``ENDED``, ``REFUSED``.
    values: Sequence[float]


class History:
    """The samples of a gateway."""

    def __init__(self) -> None:
        """Raises OSError without memory."""
        #: When the history begins (seconds since the epoch).
        self.since = time.time()
        self._file = os.memfd_create("history")
        weakref.finalize(self, os.close, self._file)
        os.ftruncate(self._file, KEPT * _ROW.size)
        self._memory = mmap.mmap(self._file, KEPT * _ROW.size)

    def add(self, sample: Sample) -> bool:
        """Add one worker's figures; returns False, and adds nothing, while another process adds its own."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        try:
            place = sample.number % KEPT * _ROW.size
            number, *found = _ROW.unpack_from(self._memory, place)
            if number != sample.number:
                found = [0.0] * _VALUES
            sums = [one + more for one, more in zip(found, sample.values, strict=True)]
            sums[0] = max(found[0], sample.values[0])
            _ROW.pack_into(self._memory, place, sample.number, *sums)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)
        return True

    def read(self, now: float, after: float = 0.0) -> list[Sample]:
        """The samples of the last hour whose interval ended after ``after``, in order of time.

        ``now``, ``after``: seconds since the epoch. An interval in which no worker ran has no sample.
        """
        last = int((now - SETTLING) // INTERVAL)
        first = max(last - KEPT + 1, int(after // INTERVAL) + 1)
        rows = _ROW.iter_unpack(bytes(self._memory))
        found = (Sample(int(number), values) for number, *values in rows if first <= number <= last)
        return sorted(found, key=lambda sample: sample.number)


def history_document(history: History, now: float, after: float = 0.0) -> dict[str, Any]:
    """The document of ``/history.json``: the samples as columns, which are as long as ``at``.

    ``at`` has the ends of the intervals; all times are seconds since the epoch. ``ended`` and ``refused``
    have only the causes and reasons that occurred.
    """
    samples = history.read(now, after)
    columns = iter(zip(*(sample.values for sample in samples), strict=True) if samples else [()] * _VALUES)
    return {
        "now": now,
        "since": history.since,
        "interval": INTERVAL,
        "kept": KEPT,
        "at": [sample.number * INTERVAL for sample in samples],
        "figures": dict(zip(FIGURES, map(_short, islice(columns, len(FIGURES))), strict=True)),
        "ended": _occurred(ENDED, islice(columns, len(ENDED))),
        "refused": _occurred(REFUSED, columns),
    }


def _occurred(names: Iterable[str], columns: Iterable[Sequence[float]]) -> dict[str, list[float]]:
    return {name: _short(column) for name, column in zip(names, columns, strict=True) if any(column)}


def _short(column: Sequence[float]) -> list[float]:
    """Whole numbers without their ``.0``, and seconds to a hundredth of a millisecond."""
    return [int(value) if value.is_integer() else round(value, 5) for value in column]
