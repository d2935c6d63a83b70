"""The lines of traces in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wsgw.ops.trace_lines import MOST_LINES, MOST_SESSIONS, TraceLines
from wsgw.telemetry import tracing


@pytest.fixture
def lines() -> Iterator[TraceLines]:
    made = TraceLines()
    yield made
    made.close()
    assert made not in tracing.log.handlers


def trace(connection: int, text: str) -> None:
    known = {"connection": connection, "text": text}
    tracing.log.info("#%(connection)d 192.0.2.1 < browser %(text)s", known, extra={"fields": {"size": 7}})


def test_only_the_lines_of_chosen_connections_are_kept(lines: TraceLines) -> None:
    trace(1, "before")
    lines.keep(1)
    trace(1, "one\n")
    trace(2, "other")
    tracing.log.info("a line without a connection")
    found = lines.of(1)
    assert found is not None
    assert [text for _, text in found] == ["#1 192.0.2.1 < browser one\\x0a size=7"]
    assert lines.of(2) is None


def test_lines_and_connections_are_bounded(lines: TraceLines) -> None:
    for connection in range(1, MOST_SESSIONS + 1):
        lines.keep(connection)
    for number in range(MOST_LINES + 5):
        trace(1, f"line {number}")
    kept = lines.of(1)
    assert kept is not None
    assert len(kept) == MOST_LINES
    assert kept[-1][1].endswith(f"line {MOST_LINES + 4} size=7")
    lines.keep(1)  # it is traced again: its lines stay, and it is now the latest
    lines.keep(99)
    assert lines.of(2) is None
    assert lines.of(1) == kept
