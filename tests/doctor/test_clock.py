"""The clock: right, wrong or unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.upstream.test_check import config_of
from wsgw.config.source import Source
from wsgw.doctor import clock
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Inquiry


def finding() -> Finding:
    (found,) = clock.CLOCK.run(Inquiry((), Source(), config_of("unix:/none")))
    assert found.check == "clock.time"
    return found


def test_a_clock_before_this_release_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsgw.doctor.clock.time.time", lambda: 0.0)
    assert (finding().verdict, finding().fix) == (Verdict.FAILED, "set it: timedatectl set-ntp true")
    assert finding().what == "shows 1970-01-01 00:00 UTC, before this release"


def test_a_synchronised_clock_is_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock, "_TIMESYNCD", tmp_path)
    assert finding().verdict is Verdict.OK


def test_the_kernel_knows_whether_a_program_keeps_the_clock_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """In most containers and some machines it does not: that is no fault."""
    monkeypatch.setattr(clock, "_TIMESYNCD", Path("/nonexistent"))
    assert finding().verdict in (Verdict.OK, Verdict.SKIPPED)
    monkeypatch.setattr(clock, "_UNSYNCHRONISED", 0)
    assert finding().verdict is Verdict.OK
