"""The functions in C, built with sanitizers, pass their tests; ``scripts/sanitize.sh`` runs more of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT
from wsgw._native.build import missing

TESTS = ("test_core.py", "test_pure.py", "test_transcripts.py")
SANITIZED = "-O1 -g -U_FORTIFY_SOURCE -fsanitize=address,undefined -fno-sanitize-recover=all"


def runtime() -> str:
    """The path of AddressSanitizer's library; empty without it."""
    if missing() or shutil.which("gcc") is None:
        return ""
    name = subprocess.check_output(["gcc", "-print-file-name=libasan.so"], text=True).strip()
    return name if Path(name).is_absolute() else ""


RUNTIME = runtime()


@pytest.mark.slow
@pytest.mark.skipif(not RUNTIME, reason="no AddressSanitizer")
def test_no_byte_is_read_or_written_outside_and_nothing_is_undefined(tmp_path: Path) -> None:
    for name in ("wsgw", "tests"):
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    build = [sys.executable, "-m", "wsgw._native.build"]
    subprocess.run(build, cwd=tmp_path, env={**os.environ, "CC": "gcc", "CFLAGS": SANITIZED}, check=True)
    # Small objects come from malloc too, so that a byte after one of them is seen. The interpreter leaks.
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("WSGW_", "PYTEST"))},
        "LD_PRELOAD": RUNTIME,
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": f"detect_leaks=0:log_path={tmp_path}/report",
        "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={tmp_path}/report",
    }
    pytest_options = ["-q", "-p", "no:cacheprovider", "-p", "no:faulthandler", "-p", "no:xdist"]
    files = [f"tests/_native/{name}" for name in TESTS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *pytest_options, "-k", "not reference_is_lost", *files],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    reports = "".join(path.read_text() for path in tmp_path.glob("report*"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-1000:] + reports
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout
