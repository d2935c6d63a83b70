"""The directory in which prometheus-client puts together the figures of several processes.

It has to be named by the environment before that package is imported for the first time.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from pathlib import Path

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class MetricsFiles:
    """A private directory of one parent and its workers."""

    def __init__(self) -> None:
        """Make it, and name it in the environment. Raises OSError."""
        self.path = Path(tempfile.mkdtemp(prefix="wsgw-"))
        os.environ[_VARIABLE] = str(self.path)

    def give_to(self, account: pwd.struct_passwd | None) -> None:
        """Let the workers, which run under ``account`` if it is not ours, write there."""
        if account is not None:
            os.chown(self.path, account.pw_uid, account.pw_gid)

    def process_died(self, pid: int) -> None:
        """Forget what a process says of the present; what it has counted stays, as the package has it."""
        for file in self.path.glob(f"gauge_live*_{pid}.db"):
            file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Nobody needs it any more."""
        shutil.rmtree(self.path, ignore_errors=True)
