"""Workers ask each other: a worker that does not answer delays no answer for long, and is named."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.wire import within
from wsgw.ops import session_exchange
from wsgw.ops.session_exchange import SessionExchange
from wsgw.ops.state import StateFile

QUERY = {"ask": "sessions"}


def parent(slots: int) -> StateFile:
    state = StateFile()
    state.publish({"workers": [{"slot": slot} for slot in range(slots)]})
    return state


def exchange(
    folder: Path, slot: int, state: StateFile, answer: Callable[[dict[str, Any]], dict[str, Any]]
) -> SessionExchange:
    made = SessionExchange(folder, slot, state, answer)
    made.start()
    return made


def answer_of(slot: int, query: dict[str, Any]) -> dict[str, Any]:
    return {**query, "slot": slot}


def test_all_workers_are_asked(tmp_path: Path) -> None:
    state = parent(3)
    workers = [exchange(tmp_path, slot, state, partial(answer_of, slot)) for slot in range(3)]
    for worker in workers:
        found, silent = worker.ask_all(QUERY)
        assert sorted(answer["slot"] for answer in found) == [0, 1, 2]
        assert all(answer["ask"] == "sessions" for answer in found)
        assert silent == []
    for worker in workers:
        worker.stop()
        worker.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_is_missing_or_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_exchange, "TIMEOUT", 0.2)
    asking = exchange(tmp_path, 0, parent(3), lambda query: query)
    with socket.socket(socket.AF_UNIX) as hanging, within(5):
        hanging.bind(str(tmp_path / "worker_2.socket"))
        hanging.listen()
        assert asking.ask_all(QUERY) == ([QUERY], [1, 2])
    asking.stop()


def test_an_answer_that_is_no_document_counts_as_none(tmp_path: Path) -> None:
    state = parent(2)
    asking = exchange(tmp_path, 0, state, lambda query: query)

    def fail(_query: dict[str, Any]) -> dict[str, Any]:
        raise OSError("gone")

    other = exchange(tmp_path, 1, state, fail)
    assert asking.ask_all(QUERY) == ([QUERY], [1])
    other.stop()
    asking.stop()


def test_the_socket_of_a_dead_worker_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "worker_1.socket"))
    state = parent(2)
    asking = exchange(tmp_path, 0, state, lambda query: query)
    assert asking.ask_all(QUERY).silent == [1]
    replacement = exchange(tmp_path, 1, state, lambda _query: {"new": True})
    assert {"new": True} in asking.ask_all(QUERY).found
    replacement.stop()
    asking.stop()


def test_a_folder_with_too_long_a_name_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Linux allows 107 bytes; the worker serves its sessions, and is only missing in the table."""
    folder = tmp_path / ("long" * 30)
    os.mkdir(folder)
    made = exchange(folder, 0, parent(1), lambda query: query)
    assert "no sessions of this worker on the status page" in caplog.text
    assert made.ask_all(QUERY) == ([QUERY], [])
    made.stop()
