"""No process, no temporary folder and no lock of pytest outlives a test run."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, Child, wait_until

#: A test that leaves a child without its parent and a folder, and prints the pid of its pytest-xdist worker.
TEST = """
import os, subprocess, sys, tempfile, time
from pathlib import Path

def test_forever():
    daemon = "import os, time; os.fork() and os._exit(0); os.setsid(); print(os.getpid(), flush=True)"
    argv = [sys.executable, "-c", daemon + "; time.sleep(600)"]
    pid = subprocess.Popen(argv, stdout=subprocess.PIPE).stdout.readline().decode().strip()
    Path("told").write_text(f"{os.getpid()} {pid} {tempfile.mkdtemp()} .\\n")
    time.sleep(600)
"""
#: A run in the background of a shell inherits an ignored SIGINT.
RUN = """
import signal, sys, pytest
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("victim", "number", "workers"),
    [
        ("run", signal.SIGINT, 0),
        ("run", signal.SIGTERM, 1),
        ("run", signal.SIGKILL, 1),
        ("worker", signal.SIGKILL, 1),
    ],
)
def test_nothing_outlives_a_run(tmp_path: Path, victim: str, number: signal.Signals, workers: int) -> None:
    (tmp_path / "test_inner.py").write_text(TEST)
    told = tmp_path / "told"
    argv = ["-p", "tests.support.warden", "-p", "no:cacheprovider", "--max-worker-restart=0"]
    argv += ["-n", str(workers), "test_inner.py"]
    environment = {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "PYTEST_DEBUG_TEMPROOT": str(tmp_path)}
    run = Child([sys.executable, "-c", RUN, *argv], tmp_path / "run.log", environment, cwd=tmp_path)
    try:
        wait_until(lambda: told.exists() and told.read_text().endswith(".\n"), 60, "the inner test")
        worker, orphan, folder, _ = told.read_text().split()
        assert Path(folder).is_relative_to(tmp_path), "a folder of its own"
        if victim == "worker":
            os.kill(int(worker), number)
        else:
            run.signal(number)
        run.wait(60)
        processes = [Path("/proc", pid) for pid in (worker, orphan)]
        wait_until(lambda: not any(one.exists() for one in processes), 30, "the end of its processes")
        wait_until(lambda: not list(tmp_path.glob("wsgw-tests-*")), 30, "the end of its folder")
        wait_until(lambda: not list(tmp_path.glob("pytest-of-*/*/.lock")), 30, "the end of its lock")
    finally:
        run.kill()
