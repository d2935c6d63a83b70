"""The crew alone, without processes: what it wants, and where there is no more room."""

from __future__ import annotations

import selectors
from typing import Any

import pytest

from wsgw.config.model import Config
from wsgw.gateway import Shared
from wsgw.ops.state import StateFile
from wsgw.processes.control import Channel
from wsgw.processes.crew import Crew
from wsgw.processes.settings import Settings
from wsgw.shared_table import SharedTable
from wsgw.spread import Beats
from wsgw.tls import PemFiles

SLOTS = 3


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> Crew:
    """One whose processes are made up."""
    shared = Shared(SharedTable(SLOTS, 64), Beats(SLOTS), StateFile(), None)
    settings = Settings(Config.__new__(Config), PemFiles())
    crew = Crew(settings, {}, None, shared, selectors.DefaultSelector(), _ignore, _ignore, [])
    monkeypatch.setattr(Crew, "_fork", lambda self, slot: (slot + 1, Channel.pair()[0]))
    monkeypatch.setattr(Crew, "tell", _ignore)
    return crew


def _ignore(*_args: Any) -> None:
    pass


def slots(crew: Crew) -> dict[int, bool]:
    """The members, and whether they leave."""
    return {slot: member.leaving for slot, member in sorted(crew.members.items())}


def test_those_that_leave_keep_their_slots(crew: Crew) -> None:
    """As many as there is room for are started, the others when there is."""
    crew.resize(3)
    assert crew.fill() is None
    crew.resize(1)
    crew.resize(3)
    assert crew.fill() is None
    assert slots(crew) == {0: False, 1: True, 2: True}
    del crew.members[2]
    crew.fill()
    assert slots(crew) == {0: False, 1: True, 2: False}
