"""The samples of the last hour: none is lost, none is counted twice, and there is room for one hour."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from tests.ops.admin import PATIENCE, Admin
from tests.ops.conftest import StartAdmin
from tests.support.processes import wait_until
from tests.support.traffic import Traffic
from wsgw.ops.history import (
    ENDED,
    FIGURES,
    INTERVAL,
    KEPT,
    REFUSED,
    SETTLING,
    History,
    Sample,
    history_document,
)

WIDTH = len(FIGURES) + len(ENDED) + len(REFUSED)
#: A moment at which the interval with the number ``NUMBER`` is complete.
NUMBER = 340_000_000
NOW = NUMBER * INTERVAL + SETTLING


def sample(number: int, **figures: float) -> Sample:
    names = (*FIGURES, *ENDED, *REFUSED)
    return Sample(number, [figures.get(name, 0.0) for name in names])


@contextmanager
def in_a_child(work: Callable[[], None]) -> Iterator[int]:
    """``work`` runs in a forked process, whose number is given, and which has ended afterwards."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    try:
        yield child
    finally:
        os.waitpid(child, 0)


def test_the_figures_of_all_workers_are_summed_and_the_longest_lag_counts() -> None:
    history = History()
    assert history.add(sample(NUMBER, lag=0.01, sessions=3, idle=1))
    assert history.add(sample(NUMBER, lag=0.5, sessions=4, idle=2))
    assert history.add(sample(NUMBER, lag=0.02, max_sessions=9))
    assert history.read(NOW) == [sample(NUMBER, lag=0.5, sessions=7, idle=3, max_sessions=9)]


def test_an_interval_is_read_when_all_workers_have_added_to_it() -> None:
    history = History()
    history.add(sample(NUMBER, sessions=1))
    assert history.read(NOW - 0.1) == []
    assert history.read(NOW) != []


def test_the_samples_of_one_hour_are_kept_in_order() -> None:
    history = History()
    for number in range(NUMBER - KEPT - 10, NUMBER + 1):
        history.add(sample(number, sessions=number))
    found = history.read(NOW)
    assert [one.number for one in found] == list(range(NUMBER - KEPT + 1, NUMBER + 1))
    assert found == [sample(one.number, sessions=one.number) for one in found]
    assert [one.number for one in history.read(NOW, (NUMBER - 2) * INTERVAL)] == [NUMBER - 1, NUMBER]
    assert history.read(NOW + 7200) == []


def test_samples_of_the_future_are_not_shown_after_the_clock_was_set_back() -> None:
    history = History()
    history.add(sample(NUMBER, sessions=1))
    history.add(sample(NUMBER - 100, sessions=2))
    assert history.read(NOW - 100 * INTERVAL) == [sample(NUMBER - 100, sessions=2)]


def test_processes_that_add_at_the_same_time_lose_nothing() -> None:
    history = History()
    rounds, workers = 200, 4

    def add() -> None:
        for _ in range(rounds):
            while not history.add(sample(NUMBER, workers=1)):
                time.sleep(0)

    with in_a_child(add), in_a_child(add), in_a_child(add):
        add()
    assert history.read(NOW) == [sample(NUMBER, workers=rounds * workers)]


def test_a_worker_that_was_killed_while_it_added_hinders_no_other() -> None:
    history = History()
    mine, others = os.pipe()

    def lock() -> None:
        os.lockf(history._file, os.F_LOCK, 0)
        os.write(others, b".")
        signal.pause()

    with in_a_child(lock) as child:
        os.read(mine, 1)
        assert not history.add(sample(NUMBER, workers=1))
        os.kill(child, signal.SIGKILL)
    assert history.add(sample(NUMBER, workers=1))
    os.close(mine)
    os.close(others)


def test_the_document_has_columns_and_only_causes_that_occurred() -> None:
    history = History()
    history.add(sample(NUMBER - 1, sessions=1, lag=0.123456789))
    history.add(sample(NUMBER, sessions=2, idle=3, max_sessions=4))
    found = json.loads(json.dumps(history_document(history, NOW)))
    assert found["at"] == [(NUMBER - 1) * INTERVAL, NUMBER * INTERVAL]
    assert found["figures"].keys() == set(FIGURES)
    assert found["figures"]["sessions"] == [1, 2]
    assert found["figures"]["lag"] == [0.12346, 0]
    assert found["ended"] == {"idle": [0, 3]}
    assert found["refused"] == {"max_sessions": [0, 4]}
    assert history_document(history, NOW, NOW)["figures"]["sessions"] == []


def total(document: dict[str, Any], group: str, name: str) -> float:
    return float(sum(document[group].get(name, [])))


def read(admin: Admin, query: str = "") -> dict[str, Any]:
    answer = admin.ask("/history.json" + query)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    found: dict[str, Any] = json.loads(answer.text)
    return found


def test_the_history_has_each_session_once_also_when_a_worker_dies(start: StartAdmin) -> None:
    """With intervals of one second instead of five."""
    with Traffic() as traffic:
        admin = start(traffic.port, constants={"wsgw.ops.history.INTERVAL": 1})
        begun = time.time()
        traffic.begin(admin.gateway.ws_port, 12, 0.05)
        traffic.finish()
        wait_until(lambda: total(read(admin), "ended", "closed_by_client") == 12, PATIENCE, "the ends")
        os.kill(admin.status()["workers"][0]["pid"], signal.SIGKILL)
        after = time.time()
        wait_until(lambda: read(admin)["at"][-1] > after + 2, PATIENCE, "samples after the death")
        found = read(admin)
        metrics = admin.metrics()
    assert found["since"] <= begun
    assert all(later - earlier == found["interval"] == 1 for earlier, later in pairwise(found["at"]))
    assert max(found["figures"]["workers"]) == 2
    for name in ("opened", "logins", "connects"):
        assert total(found, "figures", name) == 12
    assert metrics.value("wsgw_sessions_opened_total") == 12
    for name in ("from_client", "to_client"):
        counted = metrics.value("wsgw_stanzas_total", direction=name)
        assert total(found, "figures", f"stanzas_{name}") == counted > 0
    assert total(found, "figures", "connect_seconds") > 0
    assert total(found, "ended", "closed_by_client") == 12
    newer = read(admin, f"?after={found['at'][-2]}")
    assert newer["at"][0] == found["at"][-1]


def test_after_an_upgrade_the_history_begins_again_and_the_page_says_so(start: StartAdmin) -> None:
    admin = start(1)
    before = read(admin)["since"]
    admin.gateway.child.signal(signal.SIGUSR2)
    wait_until(lambda: read(admin)["since"] > before, PATIENCE, "the new gateway to answer")
    assert "since wsgw was started or upgraded at" in admin.ask("/status").text


@pytest.mark.parametrize(
    ("query", "status"),
    [("?after=", 200), ("?other=1", 200), ("?after=-1e9", 200), ("?after=1e300", 200)]
    + [(f"?after={text}", 400) for text in ("yesterday", "nan", "inf", "-inf", "1e999")],
)
def test_a_query_that_is_not_a_time_is_refused(alone: Admin, query: str, status: int) -> None:
    assert alone.ask("/history.json" + query).status == status
