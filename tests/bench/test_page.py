"""The published page agrees with the results file."""

from __future__ import annotations

import pytest

from tests.bench import page
from tests.bench.cli import ROWS
from tests.bench.tables import Figure, Target


def test_the_page_is_made_from_the_results() -> None:
    """After a change of tables or template: ``scripts/bench.sh --render``."""
    tables = {name: row.table for name, row in ROWS.items()}
    assert page.PAGE.read_text("utf-8") == page.text(page.read_results(), tables)


def test_every_row_was_measured() -> None:
    rows = page.read_results()["rows"]
    assert list(rows) == list(ROWS)
    assert all(row["samples"] and row["rounds"] >= 5 for row in rows.values())


@pytest.mark.parametrize(
    ("measured", "at_most", "met"),
    [(2.9, True, True), (3.1, True, False), (2.9, False, False), (3.1, False, True)],
)
def test_a_target_is_met_by_the_median(measured: float, at_most: bool, met: bool) -> None:
    figure = Figure.of([0.1, measured, 99.0])
    assert Target("figure", figure, 3.0, at_most=at_most).met is met
