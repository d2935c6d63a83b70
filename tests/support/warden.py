"""A process that outlives a test run by a moment and removes what the run has left, however the run ended.

Every process of a run has the name of the run's folder in its environment, by which the warden finds it, even
if its parent has ended. Temporary files of the run are in that folder. This is a pytest plugin; run as a
program it is the warden.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PREFIX = "wsgw-tests-"
#: The environment variable with the run's folder.
RUN = "WSGW_TEST_RUN"
#: The time for the processes of a run to end, in seconds.
_PATIENCE = 10.0
#: A folder that is younger, in seconds, may be of a run whose warden is starting.
_STARTING = 60.0

_wardens: list[subprocess.Popen[bytes]] = []


def pytest_configure(config: pytest.Config) -> None:
    """Start the warden, and give the run its folder; those of ``tmp_path`` stay where pytest puts them."""
    if hasattr(config, "workerinput"):  # a worker of pytest-xdist is of the run that started it
        return
    top = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix=PREFIX)
    Path(folder).chmod(0o1777)  # the mode of /tmp: some tests run programs under other accounts
    _wardens.append(
        subprocess.Popen(
            [sys.executable, __file__, folder, top, str(os.getpid())],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
    )
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", top)
    os.environ[RUN] = os.environ["TMPDIR"] = tempfile.tempdir = folder


def pytest_unconfigure() -> None:
    """Let the warden do its work before an orderly end of the run."""
    for warden in _wardens:
        warden.communicate()
    _wardens.clear()


def main(folder: Path, top: Path, run: str) -> None:
    """Wait until standard input ends, which is the end of the run, and clear up after it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)
    for other in top.glob(f"{PREFIX}*"):
        if _is_abandoned(other):
            _clear(other)
    sys.stdin.buffer.read()
    _clear(folder)
    # Pytest removes the folders of its runs in turn, but not one that it finds locked.
    for lock in top.glob("pytest-of-*/pytest-*/.lock"):
        with contextlib.suppress(OSError):
            if lock.read_text("ascii") == run:
                lock.unlink()


def _is_abandoned(folder: Path) -> bool:
    """Whether the warden of that run was killed too."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return time.time() - folder.stat().st_ctime > _STARTING
        finally:
            os.close(descriptor)
    return False


def _clear(folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while (pids := _processes_of(folder)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


def _processes_of(folder: Path) -> list[int]:
    ours = f"{RUN}={folder}".encode()
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if ours in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
