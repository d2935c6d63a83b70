"""The directory with the metrics of all workers; any worker reads it to answer a request of the admin.

prometheus-client keeps counters and histograms in it. An environment variable must name it before that
package is imported for the first time. The directory also holds each worker's state file (``publisher``).
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from pathlib import Path

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def state_path(folder: Path, slot: int) -> Path:
    """The state file of the worker with ``slot``."""
    return folder / f"worker_{slot}.state"


class MetricsFiles:
    """The metrics directory of one parent and its workers; no other account can read it."""

    def __init__(self) -> None:
        """Make the directory, and name it in the environment. Raises OSError."""
        self.path = Path(tempfile.mkdtemp(prefix="wsgw-"))
        os.environ[_VARIABLE] = str(self.path)

    def give_to(self, account: pwd.struct_passwd | None) -> None:
        """Make ``account``, the account of the workers, the owner of the directory and its files.

        None: the workers run under this process's account, which owns them already. The workers may
        have had another account before and may have left links: no link is followed. Raises OSError.
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
        """Remove the state file of a dead worker; the values of its counters stay."""
        state_path(self.path, slot).unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the directory; no process needs it any more."""
        shutil.rmtree(self.path, ignore_errors=True)
