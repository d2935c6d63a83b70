"""Holds a process at a file that it is about to read, so that a test can act at that moment."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tests.support.observe import PATIENCE
from tests.support.processes import wait_until


class Gate:
    """Takes the place of ``file``: the next reader waits until the gate opens, then gets the old content."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._content = file.read_bytes()
        self._end = -1
        file.unlink()
        os.mkfifo(file)

    def wait(self) -> None:
        """Wait until a process is held. Any later reader finds the file unchanged."""
        wait_until(self._is_reached, PATIENCE, f"a reader of {self._file}")
        self._file.unlink()
        self._file.write_bytes(self._content)

    def _is_reached(self) -> bool:
        try:
            self._end = os.open(self._file, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # ENXIO: no process reads
            return False
        return True

    def open(self) -> None:
        """Let the process continue, if it still lives."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._end, self._content)
        os.close(self._end)
