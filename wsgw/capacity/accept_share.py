"""Which worker accepts a connection: the one that has the fewest, as long as its loop turns.

All workers wait on the same listening sockets, and the system wakes them all. One that has more
connections than another leaves the new one alone until the other has caught up, or for some
milliseconds, the more the farther it is ahead. Nobody is waited for longer than that, and a worker
whose loop has stopped turning not at all. It reads no clock, ``now`` (seconds, monotonic) comes with
the call.
Erlang twin: none, the original was one process.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable

from wsgw.capacity.table import SharedTable

#: A worker that has not beaten for so long is not reckoned with, in seconds.
BEAT_EXPIRES = 2.0
#: How often the parent looks for workers whose loop has stopped, in seconds, and how often in a row it must
#: have found it stopped before it replaces one: looks are counted, not time, as the machine may have slept.
LOOK_EVERY, LOOKS = 5.0, 6
#: What others are given for each connection ahead, and at most, in seconds.
STEP, LONGEST = 0.02, 0.1
#: A worker that has no descriptors left gives them as long as they need.
FULL_PAUSE = 3600.0
#: How often it is looked meanwhile whether they have caught up, in seconds.
RECHECK = 0.002
#: Not seen again for so long, what was left to others has been taken, in seconds.
PAUSE_ENDS = 0.05
#: One connection in so many is not worth a pause: where there are thousands, speed is.
SLACK = 64


class Beats:
    """When each worker's loop last turned (seconds, monotonic); less than 0 if it takes no connections.

    Made by the parent before it forks. A worker writes its own beat only; each is written whole.
    """

    def __init__(self, slots: int) -> None:
        self._memory = mmap.mmap(-1, 8 * (1 + slots))
        # The first is how many slots are in use.
        self._beats = memoryview(self._memory).cast("d")

    def use_slot(self, slot: int) -> None:
        """Look at ``slot`` too from now on; for the parent."""
        self._beats[0] = max(self._beats[0], slot + 1)
        self.beat(slot, 0.0)

    def beat(self, slot: int, now: float) -> None:
        """The loop of ``slot`` turns; 0 if it does not yet, or not any more."""
        self._beats[1 + slot] = now

    def last(self, slot: int) -> float:
        """The last beat of ``slot``."""
        return self._beats[1 + slot]

    def fresh(self, now: float) -> list[int]:
        """The slots of those that are well."""
        beats = self._beats[1 : 1 + int(self._beats[0])].tolist()
        return [slot for slot, beat in enumerate(beats) if beat > 0 and now - beat < BEAT_EXPIRES]


class Pulse:
    """Finds workers that hang; for the parent."""

    def __init__(self, beats: Beats) -> None:
        self._beats = beats
        #: By slot: the last beat seen, and how often it was the same since.
        self._seen: dict[int, tuple[float, int]] = {}

    def stopped(self, slots: Iterable[int]) -> list[int]:
        """Those of ``slots`` whose loop has not turned for ``LOOKS`` calls, one every ``LOOK_EVERY``."""
        seen = {}
        for slot in slots:
            beat = self._beats.last(slot)
            before, looks = self._seen.get(slot, (0.0, 0))
            seen[slot] = (beat, looks + 1 if beat == before else 0)
        self._seen = seen
        return [slot for slot, (_, looks) in seen.items() if looks >= LOOKS]


class Turn:
    """One worker's place among all."""

    def __init__(self, table: SharedTable, beats: Beats, slot: int, room: int) -> None:
        """``room`` is how many connections this process has descriptors for."""
        self._table = table
        self._beats = beats
        self._slot = slot
        self._room = room
        self._takes_part = True
        #: Connections accepted that the table does not count yet.
        self.pending = 0

    @property
    def connections(self) -> int:
        """Connections of this worker."""
        return self._table.connections_of(self._slot) + self.pending

    def beat(self, now: float) -> None:
        """Say that the loop turns."""
        self._beats.beat(self._slot, now if self._takes_part else -now)

    def stop_accepting(self, now: float) -> None:
        """This worker accepts no more; that its loop turns it still says."""
        self._takes_part = False
        self.beat(now)

    def pause(self, now: float) -> float:
        """How long to leave a new connection to the others at most, in seconds; 0 to take it."""
        count = self._table.connections_of
        others = [count(slot) for slot in self._beats.fresh(now) if slot != self._slot]
        if not others:
            return 0.0
        mine, least = self.connections, min(others)
        if mine >= self._room > least:
            return FULL_PAUSE
        ahead = mine - least
        return min(ahead * STEP, LONGEST) if ahead > mine // SLACK else 0.0
