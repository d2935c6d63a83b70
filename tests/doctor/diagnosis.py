"""Runs the real command, and reads its findings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.processes import ROOT

#: The checks of the inside, by the first part of their names.
INSIDE = {"configuration", "certificate", "access", "listener", "port", "limit", "clock", "upstream"}


class Diagnosis(NamedTuple):
    """The output of one run with ``--json``."""

    status: int
    findings: list[dict[str, str]]

    @property
    def inside(self) -> list[dict[str, str]]:
        """The findings of the inside that are neither good nor skipped."""
        return [
            finding
            for finding in self.findings
            if finding["check"].partition(".")[0] in INSIDE and finding["verdict"] in ("failed", "note")
        ]

    def of(self, check: str) -> list[dict[str, str]]:
        """The findings of one check."""
        return [finding for finding in self.findings if finding["check"] == check]


def diagnose(config: Path, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Diagnosis:
    """The findings of the command about a configuration."""
    done = subprocess.run(
        [sys.executable, "-m", "wsgw", "doctor", "--json", "--config", str(config), *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not done.stderr, done.stderr
    for secret in (env or {}).values():
        assert secret not in done.stdout
    findings: list[dict[str, str]] = json.loads(done.stdout)
    failed = any(finding["verdict"] == "failed" for finding in findings)
    assert done.returncode == failed, findings
    return Diagnosis(done.returncode, findings)
