"""The directory in which workers leave their figures for whichever of them is asked.

prometheus-client keeps counters and histograms there; it has to be named by the environment before that
package is imported for the first time. Beside them is what each worker says of the present (see
``publisher``).
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from pathlib import Path

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def state_path(folder: Path, slot: int) -> Path:
    """Where the worker of a slot says how things stand with it."""
    return folder / f"worker_{slot}.state"


class MetricsFiles:
    """A private directory of one parent and its workers."""

    def __init__(self) -> None:
        """Make it, and name it in the environment. Raises OSError."""
        self.path = Path(tempfile.mkdtemp(prefix="wsgw-"))
        os.environ[_VARIABLE] = str(self.path)

    def give_to(self, account: pwd.struct_passwd | None) -> None:
        """Let the workers, which run under ``account`` if it is not ours, write there. Raises OSError.

        Workers had the directory before, if their account has changed: no link they left is followed.
        """
        if account is None:
            return
        owner = account.pw_uid, account.pw_gid
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchown(folder, *owner)
            for name in os.listdir(folder):
                os.chown(name, *owner, dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(folder)

    def worker_died(self, slot: int) -> None:
        """Forget what a worker says of the present; what it has counted stays."""
        state_path(self.path, slot).unlink(missing_ok=True)

    def remove(self) -> None:
        """Nobody needs it any more."""
        shutil.rmtree(self.path, ignore_errors=True)
