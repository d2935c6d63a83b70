"""What a worker answers about its sessions."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from wsgw.ops.session_queries import LONGEST_TRACE, MOST_LINES, SessionQueries
from wsgw.ops.trace_lines import MOST_SESSIONS
from wsgw.telemetry.peer import Peer


def session(number: int) -> Any:
    login = SimpleNamespace(jid=f"user{number}@example.org/web")
    xmpp = SimpleNamespace(
        login=login,
        domain="example.org",
        framing_name="rfc7395",
        state_name="loop",
        stanzas_from_client=0,
        stanzas_to_client=0,
    )
    return SimpleNamespace(peer=Peer(number, ("127.0.0.1", 1), "192.0.2.1"), xmpp=xmpp, started=0.0)


class Worker:
    """Queries about sessions with the numbers from 1 on, and the switches of their traces."""

    def __init__(self, count: int) -> None:
        self.running = [session(number) for number in range(count, 0, -1)]
        self.switched: list[tuple[int, bool]] = []
        self.queries = SessionQueries(
            lambda: self.running, lambda connection, on: self.switched.append((connection, on))
        )

    def table(self, words: str = "", after: int = 0, count: int = 50) -> list[int]:
        query = {"ask": "sessions", "words": words, "after": after, "count": count}
        return [line["connection"] for line in self.queries.answer(query)["sessions"]]

    def trace(self, connection: int, seconds: float) -> dict[str, Any]:
        return self.queries.answer({"ask": "trace", "connection": connection, "seconds": seconds})


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker(1234)
    yield made
    made.queries.close()


def test_the_table_is_in_order_and_bounded(worker: Worker) -> None:
    assert worker.table(count=3) == [1, 2, 3]
    assert worker.table(after=1232) == [1233, 1234]
    assert len(worker.table(count=5000)) == MOST_LINES
    assert worker.table("user123") == [123, *range(1230, 1235)]
    assert worker.table("#123") == [123]
    assert worker.table("nobody") == []


def test_a_search_among_many_sessions_lets_others_run(worker: Worker) -> None:
    other = gevent.spawn(lambda: None)
    worker.table()
    assert other.dead


def test_few_sessions_are_traced_at_a_time(worker: Worker) -> None:
    for connection in range(1, MOST_SESSIONS + 1):
        assert worker.trace(connection, 60) == {"done": True}
    assert worker.trace(99, 60) == {"busy": True}
    assert worker.trace(1, 120) == {"done": True}  # for longer
    assert worker.trace(2, 0) == {"done": True}
    assert worker.trace(99, 60) == {"done": True}
    assert worker.switched[-3:] == [(1, True), (2, False), (99, True)]
    assert worker.trace(99_999, 60) == {}


def test_a_trace_has_a_longest_time_and_ends_by_itself(worker: Worker) -> None:
    worker.trace(1, 10 * LONGEST_TRACE)
    assert worker.queries._traces[1].until <= monotonic() + LONGEST_TRACE
    worker.trace(1, 1)
    with gevent.Timeout(20):
        while worker.queries._traces:
            gevent.sleep(0.01)
    assert worker.switched[-1] == (1, False)


@pytest.mark.parametrize(
    "query", [{}, {"ask": "all"}, {"ask": "session"}, {"ask": "trace", "connection": "x"}]
)
def test_anything_else_is_no_query(worker: Worker, query: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        worker.queries.answer(query)
