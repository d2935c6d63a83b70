"""The worker whose turn it is to accept, and the workers that hang, without processes."""

from __future__ import annotations

import pytest

from wsgw.capacity.accept_share import BEAT_EXPIRES, FULL_PAUSE, LOOKS, AcceptShare, Beats, Pulse
from wsgw.capacity.table import SharedTable

NOW = 1000.0
ROOM = 500


class Crowd:
    """Workers with so many connections each."""

    def __init__(self, *connections: int) -> None:
        self.table = SharedTable.create(len(connections))
        self.beats = Beats(len(connections))
        for slot, count in enumerate(connections):
            self.table.use_slot(slot)
            self.beats.use_slot(slot)
            self.beats.beat(slot, NOW)
            for _ in range(count):
                self.table.add_connection(slot, 10_000)

    def pause(self, slot: int, now: float = NOW) -> float:
        return AcceptShare(self.table, self.beats, slot, ROOM).pause(now)


@pytest.mark.parametrize(
    ("connections", "takes_it"),
    [
        ((0,), [True]),
        ((7,), [True]),
        ((0, 0), [True, True]),
        ((1, 0), [False, True]),
        ((3, 4, 3), [True, False, True]),
        ((63, 62), [False, True]),
        ((128, 126), [True, True]),
        ((128, 125), [False, True]),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_the_worker_with_the_fewest_connections_accepts(
    connections: tuple[int, ...], takes_it: list[bool]
) -> None:
    crowd = Crowd(*connections)
    assert [crowd.pause(slot) == 0 for slot in range(len(connections))] == takes_it


def test_a_worker_with_more_connections_waits_longer_up_to_a_bound() -> None:
    pauses = [Crowd(ahead, 0).pause(0) for ahead in (1, 2, 4, 8, 60)]
    assert pauses == sorted(pauses)
    assert 0 < pauses[0] < pauses[1]
    assert pauses[-1] <= 0.1


def test_accepted_connections_count_before_their_admission() -> None:
    crowd = Crowd(2, 2)
    share = AcceptShare(crowd.table, crowd.beats, 0, ROOM)
    share.pending = 1
    assert share.pause(NOW) > 0
    assert share.connections == 3


@pytest.mark.parametrize("beat", [0.0, NOW - BEAT_EXPIRES - 0.1], ids=["left", "hangs"])
def test_no_worker_waits_for_one_that_does_not_accept(beat: float) -> None:
    crowd = Crowd(9, 0)
    crowd.beats.beat(1, beat)
    assert crowd.pause(0) == 0


def test_a_full_worker_leaves_connections_to_those_with_room() -> None:
    crowd = Crowd(ROOM, ROOM - 1)
    assert crowd.pause(0) == FULL_PAUSE
    assert crowd.pause(1) == 0
    crowd.table.add_connection(1, 10_000)
    assert crowd.pause(0) == crowd.pause(1) == 0, "a worker has to refuse them"


def test_a_hanging_worker_is_found_by_the_number_of_checks() -> None:
    crowd = Crowd(0, 0)
    pulse = Pulse(crowd.beats)
    found = []
    for look in range(LOOKS + 2):
        crowd.beats.beat(0, NOW + look)
        found.append(pulse.stopped([0, 1]))
    assert found == [[]] * LOOKS + [[1]] * 2
    crowd.beats.beat(1, NOW + 3600)  # its loop runs again, or another worker has its slot
    assert pulse.stopped([0, 1]) == []
