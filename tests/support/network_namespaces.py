"""Network namespaces that live as long as a process, so that none outlives the test run.

`ip netns add` mounts each namespace below /run/netns, and that folder on itself: such mounts stay after a run
that was killed, and in a chroot after any run. Here a process that does nothing holds the namespace, and the
kernel kills it with the test run; with its last process a namespace is gone, and every device in it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.processes import Child, wait_until

_SECONDS = 30.0


class NetworkNamespace:
    """A namespace with no device but an unconfigured loopback. OSError if none can be made here."""

    def __init__(self, log: Path) -> None:
        self._holder = Child(["unshare", "--net", "sleep", "infinity"], log)
        self.pid = self._holder.pid
        self._link = Path(f"/proc/{self.pid}/ns/net")
        ours = os.readlink("/proc/self/ns/net")
        try:
            wait_until(lambda: self._has_ended() or self.identity() != ours, _SECONDS, "unshare")
            if self._has_ended():
                raise OSError(self._holder.tail())
        except BaseException:
            self.close()
            raise

    def inside(self, *command: str) -> list[str]:
        """The command line that runs ``command`` in the namespace."""
        return ["nsenter", f"--net={self._link}", "--", *command]

    def ip(self, *arguments: str) -> None:
        """Run iproute2's ``ip`` inside. subprocess.CalledProcessError with its output if it fails."""
        subprocess.run(self.inside("ip", *arguments), check=True, capture_output=True, text=True)

    def close(self) -> None:
        self._holder.kill()

    def identity(self) -> str:
        """The name of the namespace in the kernel, also in the list of mounts."""
        return os.readlink(self._link)

    def _has_ended(self) -> bool:
        return self._holder.returncode is not None
