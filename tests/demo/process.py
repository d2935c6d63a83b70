"""``python -m wsgw.demo`` as a separate process, for clients that start threads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def demo_process(*arguments: str) -> Iterator[int]:
    """Runs in the block; yields the port. It must end in order at SIGTERM."""
    command = [sys.executable, "-W", "error", "-m", "wsgw.demo", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            banner = [process.stdout.readline() for _ in range(4)]
            assert "NOT FOR PRODUCTION" in banner[0]
            assert "alice@localhost password wonderland" in banner[1]
            yield int(banner[-1].rpartition(":")[2])
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=10)
    assert errors == ""
    assert process.returncode == 0
