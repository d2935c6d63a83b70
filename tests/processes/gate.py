"""A process is held at a file that it is about to read, so that a test can do something just then."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tests.support.observe import PATIENCE
from tests.support.processes import wait_until


class Gate:
    """In place of ``file``: the next to read it waits, and gets what stood in it when the gate opens."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._content = file.read_bytes()
        self._end = -1
        file.unlink()
        os.mkfifo(file)

    def wait(self) -> None:
        """Until somebody is held. Whoever comes after it finds the file as it was."""
        wait_until(self._is_reached, PATIENCE, f"somebody to read {self._file}")
        self._file.unlink()
        self._file.write_bytes(self._content)

    def _is_reached(self) -> bool:
        try:
            self._end = os.open(self._file, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # ENXIO: nobody reads
            return False
        return True

    def open(self) -> None:
        """Let it go on, if it still lives."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._end, self._content)
        os.close(self._end)
