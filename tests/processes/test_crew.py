"""The crew without processes: how many workers it starts, and when it has no free slot."""

from __future__ import annotations

import math
from typing import Any

import pytest

from wsgw.capacity.accept_share import LOOKS, AcceptShare, Beats
from wsgw.capacity.table import SharedTable
from wsgw.config.model import Config
from wsgw.config.pem import PemFiles
from wsgw.gateway import Shared
from wsgw.ops.history import History
from wsgw.ops.state import StateFile
from wsgw.processes.control import Channel
from wsgw.processes.crew import PREPARE_TIMEOUT, Crew
from wsgw.processes.settings import Settings
from wsgw.processes.watch import Watch

SLOTS = 3


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Crew:
    """A crew with fake processes."""
    shared = Shared(SharedTable.create(SLOTS, 64), Beats(SLOTS), StateFile(), History(), None)
    settings = Settings(Config.__new__(Config), PemFiles())
    crew = Crew(settings, {}, None, shared, Watch(), _ignore, _ignore)
    monkeypatch.setattr(Crew, "_fork", lambda self, slot: (slot + 1, Channel.pair()[0]))
    monkeypatch.setattr(Crew, "send", _ignore)
    return crew


def _ignore(*_args: Any) -> None:
    pass


def slots(crew: Crew) -> dict[int, bool]:
    """The slots of the members, and whether they leave."""
    return {slot: member.leaving for slot, member in sorted(crew.members.items())}


def test_members_that_leave_keep_their_slots(crew: Crew) -> None:
    """Workers are started for the free slots, the others when a slot is free."""
    crew.resize(3)
    assert crew.fill() == math.inf
    crew.resize(1)
    crew.resize(3)
    assert crew.fill() == math.inf
    assert slots(crew) == {0: False, 1: True, 2: True}
    del crew.members[2]
    crew.fill()
    assert slots(crew) == {0: False, 1: True, 2: False}


class TestHanging:
    """The parent checks the workers every ``LOOK_EVERY``."""

    @pytest.fixture(autouse=True)
    def begun(self, crew: Crew, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """One worker that serves, one that leaves, one that starts; returns the slots of those killed."""
        crew.resize(SLOTS)
        crew.fill()
        crew.begun = True
        crew.members[0].prepared = crew.members[1].prepared = crew.members[1].leaving = True
        self.killed: list[int] = []
        monkeypatch.setattr(Crew, "kill", lambda _, member: self.killed.append(member.slot))
        return self.killed

    def look(self, crew: Crew, beating: dict[int, AcceptShare]) -> None:
        for number in range(LOOKS + 1):
            for share in beating.values():
                share.beat(1000.0 + number)
            crew.kill_hung_workers()

    @pytest.mark.parametrize("hangs", [0, 1])
    def test_a_worker_whose_loop_has_stopped_is_killed(self, crew: Crew, hangs: int) -> None:
        """Also if it accepts no more connections: otherwise its sessions would never end."""
        shares = {slot: AcceptShare(crew.shared.table, crew.shared.beats, slot, 9) for slot in (0, 1)}
        shares[1].stop_accepting(1000.0)
        self.look(crew, shares)
        assert self.killed == []
        assert crew.shared.beats.fresh(1000.0 + LOOKS) == [0]
        del shares[hangs]
        self.look(crew, shares)
        assert set(self.killed) == {hangs}

    def test_a_worker_that_does_not_start_is_killed(self, crew: Crew) -> None:
        self.look(crew, {})
        assert 2 not in self.killed
        crew.members[2].started -= PREPARE_TIMEOUT
        self.killed.clear()
        crew.kill_hung_workers()
        assert 2 in self.killed

    def test_no_worker_is_killed_before_all_are_prepared(self, crew: Crew) -> None:
        crew.begun = False
        self.look(crew, {})
        assert self.killed == []
