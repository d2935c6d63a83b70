"""An upgrade: another parent is started, with the code that is on the disk by now, and takes over.

It inherits the listening sockets and a channel to this one. Until it says that it serves, nothing
changes here; if it ends before, nothing has happened.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from wsgw.listening import Place
from wsgw.processes.control import Channel
from wsgw.processes.inherited import VARIABLE, described

#: What the successor says.
SERVING = "serving"
#: It must serve within so many seconds.
START_TIMEOUT = 60.0


class Successor:
    """The parent that is to take over."""

    def __init__(self, sockets: Mapping[Place, socket.socket], activated: list[socket.socket]) -> None:
        """Start it. Raises OSError."""
        self.channel, theirs = Channel.pair()
        numbers = {sock.fileno() for sock in (*sockets.values(), *activated)} | {theirs.fileno()}
        environment = {**os.environ, VARIABLE: described(sockets, activated, theirs)}
        try:
            self._process = subprocess.Popen(
                command(sys.orig_argv), env=environment, cwd=_START_FOLDER, pass_fds=sorted(numbers)
            )
        except OSError:
            self.channel.close()
            raise
        finally:
            theirs.close()
        self.pid = self._process.pid
        self.deadline = time.monotonic() + START_TIMEOUT

    def ended(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Let go of the channel."""
        self.channel.close()


def command(argv: Sequence[str]) -> list[str]:
    """The command that started this process, as it was given: a link in it leads to the new release.

    The interpreter of an installed script is what the script says today, not what it said then.
    """
    if len(argv) > 1 and not argv[1].startswith("-") and os.access(argv[1], os.X_OK):
        with Path(argv[1]).open("rb") as file:
            if file.read(2) == b"#!":
                return list(argv[1:])
    return list(argv)


def _folder() -> str | None:
    """The directory we are in, by the name it was entered by; None if that is not known."""
    name = os.environ.get("PWD", "")
    try:
        return name if name and Path(name).samefile(".") else None
    except OSError:
        return None


#: At the start; a link in the name may lead elsewhere by the time of the upgrade.
_START_FOLDER = _folder()
