"""The last hour in steps."""

from __future__ import annotations

from tests.ops.test_history import NOW, NUMBER, sample
from wsgw.ops.history import INTERVAL, History
from wsgw.ops.last_hour import STEP, by_cause, recent, steps


def test_the_last_minute_is_summed_up() -> None:
    history = History()
    for back in range(24):
        counts = {"logins": 10, "stanzas_from_client": 20, "stanzas_to_client": 5, "connects": 2, "idle": 1}
        history.add(
            sample(
                NUMBER - back, lag=back / 100, sessions=100 - back, connect_seconds=1, draining=2, **counts
            )
        )
    found = recent(history.read(NOW))
    assert found.at == NUMBER * INTERVAL
    assert (found.sessions, found.logins, found.stanzas_from_client, found.stanzas_to_client) == (
        100,
        2,
        4,
        1,
    )
    assert found.connect == 0.5
    assert (found.ended, found.refused, found.lag) == (12, 24, 0.11)


def test_without_samples_there_is_no_step() -> None:
    history = History()
    assert list(steps(history.read(NOW))) == []
    assert recent(history.read(NOW)).connect is None
    history.add(sample(NUMBER - 30, logins=5))
    history.add(sample(NUMBER, logins=5))
    assert recent(history.read(NOW)).logins == 1  # of the only sample of the last minute


def test_steps_end_at_whole_multiples_and_the_latest_is_first() -> None:
    history = History()
    for back in range(300):
        history.add(sample(NUMBER - back, logins=1))
    found = list(steps(history.read(NOW)))
    assert found[0].at == NUMBER * INTERVAL
    assert all(step.at % STEP == 0 for step in found[1:])
    assert [step.at for step in found] == sorted((step.at for step in found), reverse=True)
    assert all(step.logins == 1 / INTERVAL for step in found)


def test_ends_and_refusals_are_summed_by_cause_the_most_frequent_first() -> None:
    history = History()
    assert by_cause(history.read(NOW)) == ({}, {})
    for back in range(3):
        history.add(sample(NUMBER - back, idle=1, no_pong=2, draining=4))
    ended, refused = by_cause(history.read(NOW))
    assert list(ended.items()) == [("no_pong", 6), ("idle", 3)]
    assert refused == {"draining": 12}
