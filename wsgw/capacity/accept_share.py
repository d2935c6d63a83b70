"""Which worker accepts a connection: the one that has the fewest, as long as its event loop runs.

All workers wait on the same listening sockets, and the system wakes all of them. A worker that has more
connections than another one does not accept for some milliseconds, the longer the more it is ahead, or until
the other one has caught up. Workers whose loop has stopped do not count. The module reads no clock: callers
give ``now`` (seconds, monotonic). It has no Erlang twin: the original was one process.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable

from wsgw.capacity.table import SharedTable

#: A worker whose last beat is older than so many seconds does not count.
BEAT_EXPIRES = 2.0
#: Seconds between the parent's looks at the beats, and the number of looks in a row without a new beat after
#: which it replaces a worker. It counts looks instead of time, because the machine may have been asleep.
LOOK_EVERY, LOOKS = 5.0, 6
#: Seconds for which a worker leaves a new connection to others: per connection that it is ahead, and at most.
STEP, LONGEST = 0.02, 0.1
#: Seconds for which a worker without free descriptors leaves new connections to others.
FULL_PAUSE = 3600.0
#: Seconds between two looks, during a pause, whether the others have caught up.
RECHECK = 0.002
#: If no connection waits for so many seconds, other workers have accepted the one that was left to them.
PAUSE_ENDS = 0.05
#: A worker pauses only if it is ahead by more than one in so many of its connections: with thousands of
#: connections, accepting fast matters more than equal shares.
SLACK = 64


class Beats:
    """When each worker's event loop last ran (seconds, monotonic), in shared memory.

    A beat below 0 is that of a worker that runs but accepts no connections; 0 means that it does not run. The
    parent creates the memory before it forks. A worker writes only its own beat, each in one step.
    """

    def __init__(self, slots: int) -> None:
        """``slots``: the highest number of workers at a time."""
        self._memory = mmap.mmap(-1, 8 * (1 + slots))
        # The first number is the count of slots in use; the beats follow.
        self._beats = memoryview(self._memory).cast("d")

    def use_slot(self, slot: int) -> None:
        """Include ``slot`` in ``fresh`` from now on; only the parent calls it."""
        self._beats[0] = max(self._beats[0], slot + 1)
        self.beat(slot, 0.0)

    def beat(self, slot: int, now: float) -> None:
        """Set the beat of ``slot`` to ``now``; 0 if its worker does not run."""
        self._beats[1 + slot] = now

    def last(self, slot: int) -> float:
        """The last beat of ``slot``."""
        return self._beats[1 + slot]

    def fresh(self, now: float) -> list[int]:
        """The slots of the workers that accept connections and whose beat has not expired."""
        beats = self._beats[1 : 1 + int(self._beats[0])].tolist()
        return [slot for slot, beat in enumerate(beats) if beat > 0 and now - beat < BEAT_EXPIRES]


class Pulse:
    """Finds workers that hang; only the parent uses it."""

    def __init__(self, beats: Beats) -> None:
        self._beats = beats
        #: By slot: the last beat seen, and at how many looks since then it was the same.
        self._seen: dict[int, tuple[float, int]] = {}

    def stopped(self, slots: Iterable[int]) -> list[int]:
        """Those of ``slots`` without a new beat at the last ``LOOKS`` calls; call it every ``LOOK_EVERY``."""
        seen = {}
        for slot in slots:
            beat = self._beats.last(slot)
            before, looks = self._seen.get(slot, (0.0, 0))
            seen[slot] = (beat, looks + 1 if beat == before else 0)
        self._seen = seen
        return [slot for slot, (_, looks) in seen.items() if looks >= LOOKS]


class AcceptShare:
    """One worker's share of the new connections."""

    def __init__(self, table: SharedTable, beats: Beats, slot: int, room: int) -> None:
        """``slot``: this worker's column in ``table`` and ``beats``.

        ``room``: the number of connections for which this process has descriptors.
        """
        self._table = table
        self._beats = beats
        self._slot = slot
        self._room = room
        self._takes_part = True
        #: Connections accepted that the table does not count yet.
        self.pending = 0

    @property
    def connections(self) -> int:
        """The number of this worker's connections."""
        return self._table.connections_of(self._slot) + self.pending

    def beat(self, now: float) -> None:
        """Record that this worker's loop runs; the sweep calls it regularly."""
        self._beats.beat(self._slot, now if self._takes_part else -now)

    def stop_accepting(self, now: float) -> None:
        """Accept no more connections; ``beat`` still shows the parent that the loop runs."""
        self._takes_part = False
        self.beat(now)

    def pause(self, now: float) -> float:
        """For how many seconds at most to leave a new connection to other workers; 0 to accept it."""
        count = self._table.connections_of
        others = [count(slot) for slot in self._beats.fresh(now) if slot != self._slot]
        if not others:
            return 0.0
        mine, least = self.connections, min(others)
        if mine >= self._room > least:
            return FULL_PAUSE
        ahead = mine - least
        return min(ahead * STEP, LONGEST) if ahead > mine // SLACK else 0.0
