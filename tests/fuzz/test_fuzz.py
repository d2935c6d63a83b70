"""Every target for a moment, guided by coverage; ``scripts/fuzz.sh`` runs longer.

It shows that the targets run, with their corpus and previous failures, and find no failure at once.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

SECONDS = 1

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("atheris") is None,
        reason="atheris is not installed: it has wheels for CPython 3.11 to 3.14 on x86-64 Linux",
    ),
]


def test_every_target_runs_without_a_failure(tmp_path: Path) -> None:
    """In one process that forks: the instrumentation of the modules takes longer than one target."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", ",".join(TARGETS), str(SECONDS), str(tmp_path)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    assert done.stderr.count("stat::number_of_executed_units") == len(TARGETS)
