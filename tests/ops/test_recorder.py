"""One worker's figures of each interval."""

from __future__ import annotations

import pytest

from wsgw.errors import causes
from wsgw.errors.refusals import DRAINING, HANDSHAKE_TIMEOUT, PLAIN_REQUEST
from wsgw.ops import recorder
from wsgw.ops.history import ENDED, FIGURES, INTERVAL, REFUSED, History
from wsgw.ops.recorder import Recorder
from wsgw.telemetry.tally import Passed, Survey, Tally

START = 340_000_000 * INTERVAL


class Clock:
    """The time, as the recorder sees it."""

    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(recorder, "time", clock)
    return clock


def survey(sessions: int, **passed: int) -> Survey:
    groups = {("example.org", "rfc7395", "loop"): sessions}
    return Survey(Passed(**passed), sessions, groups, 0, 0, 0)


def named(history: History, clock: Clock) -> list[dict[str, float]]:
    """The figures above 0 of each sample, by name."""
    names = (*FIGURES, *ENDED, *REFUSED)
    samples = history.read(clock.now + 2 * INTERVAL)
    return [{name: value for name, value in zip(names, one.values, strict=True) if value} for one in samples]


def test_each_sample_has_the_changes_since_the_previous_one(clock: Clock) -> None:
    history, tally = History(), Tally()
    one = Recorder(history)
    tally.opened = 3
    tally.session_ended(causes.IDLE, Passed(), authenticated=True)
    tally.connection_refused(HANDSHAKE_TIMEOUT, 0)
    tally.connection_refused(HANDSHAKE_TIMEOUT, 408)
    tally.connection_refused(PLAIN_REQUEST, 200)
    one.note_lag(0.25)
    one.note_lag(0.125)
    one.note_connects([0.5, 0.25])
    assert not one.is_due
    one.record(survey(2, logins=2, stanzas_from_client=7), tally)
    assert named(history, clock) == []
    clock.now += INTERVAL
    assert one.is_due
    one.record(survey(2, logins=2, stanzas_from_client=7), tally)
    assert not one.is_due
    clock.now += INTERVAL
    tally.connection_refused(DRAINING, 503)
    one.record(survey(1, logins=2, stanzas_from_client=9), tally)
    standing = {"workers": 1, "sessions": 2, "logged_in": 2}
    counts = {"opened": 3, "logins": 2, "stanzas_from_client": 7, "idle": 1, "handshake_timeout": 2}
    assert named(history, clock) == [
        {**standing, **counts, "lag": 0.25, "connects": 2, "connect_seconds": 0.75},
        {"workers": 1, "sessions": 1, "logged_in": 1, "stanzas_from_client": 2, "draining": 1},
    ]


def test_figures_that_could_not_be_added_are_added_later(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, tally = History(), Tally()
    one = Recorder(history)
    tally.opened = 3
    clock.now += INTERVAL
    with monkeypatch.context() as patch:
        patch.setattr(history, "add", lambda _sample: False)
        one.record(survey(3), tally)
    assert one.is_due
    clock.now += 0.25
    one.record(survey(3), tally)
    assert named(history, clock) == [{"workers": 1, "sessions": 3, "logged_in": 3, "opened": 3}]


def test_a_worker_that_ends_leaves_its_counts_but_no_sessions(clock: Clock) -> None:
    history, tally = History(), Tally()
    one = Recorder(history)
    tally.opened = 3
    one.record(survey(3), tally, last=True)
    assert named(history, clock) == [{"opened": 3}]
