"""No regression: a login and a message cost no more operations of the interpreter than the stored figures.

Operations, not seconds: the counts are the same on every machine and in every run. After a change that is
worth its cost, or that saves operations, store the new figures, for each installed Python, with the native
functions and without them. Where those with them are not stored, the others are the limit.

    .venv/bin/python -m tests.bench.operations --store
    WSGW_NATIVE=0 .venv/bin/python -m tests.bench.operations --store
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.bench.operations import KEY, STORED, VERSION, Counts
from tests.support.processes import ROOT

pytestmark = pytest.mark.perf

#: Other releases of the packages may take a few more.
MARGIN = 1.05
FIGURES: dict[str, dict[str, Counts]] = json.loads(STORED.read_text("utf-8"))


def count() -> dict[str, Counts]:
    """In a separate process: the counting hooks must not affect other tests."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.operations"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    counted: dict[str, Counts] = json.loads(done.stdout)
    return counted


@pytest.mark.skipif(VERSION not in FIGURES, reason=f"no figures are stored for Python {VERSION}")
def test_logins_and_messages_cost_no_more_than_before() -> None:
    counted, stored = count(), FIGURES.get(KEY, FIGURES[VERSION])
    assert counted.keys() == stored.keys()
    dearer = [
        f"{name}: {figure:.0f} {kind}, stored {stored[name][kind]:.0f}"
        for name, counts in counted.items()
        for kind, figure in counts.items()
        if figure > stored[name][kind] * MARGIN
    ]
    assert not dearer, "; ".join(dearer)
