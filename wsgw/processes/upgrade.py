"""An upgrade: another parent is started, with the code that is on the disk by now, and takes over.

It inherits the listening sockets, the table of connections and a channel to this one. Until it says
that it serves, nothing changes here; if it ends before, nothing has happened.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from wsgw.capacity.table import SharedTable
from wsgw.net.listen_sockets import Place
from wsgw.processes.control import Channel
from wsgw.processes.inherited import VARIABLE, described
from wsgw.processes.systemd import WATCHDOG_PID

#: What the successor says.
SERVING = "serving"
#: It must serve within so many seconds.
START_TIMEOUT = 60.0


class Successor:
    """The parent that is to take over.

    It is no child of ours but an orphan, which systemd adopts: that waits only for children of its own,
    both to let them drain when it stops a service, and to start it anew when they die.
    """

    def __init__(
        self,
        sockets: Mapping[Place, socket.socket],
        activated: list[socket.socket],
        tables: Sequence[SharedTable],
    ) -> None:
        """Start it. Raises OSError."""
        self.channel, theirs = Channel.pair()
        numbers = {sock.fileno() for sock in (*sockets.values(), *activated)} | {theirs.fileno()}
        numbers |= {table.fileno() for table in tables}
        environment = {**os.environ, VARIABLE: described(sockets, activated, theirs, tables)}
        environment.pop(WATCHDOG_PID, None)
        try:
            self.pid = _start_orphan(command(sys.orig_argv), environment, sorted(numbers))
            self._process = _followed(self.pid)
        except OSError:
            self.channel.close()
            raise
        finally:
            theirs.close()
        self.deadline = time.monotonic() + START_TIMEOUT

    @property
    def ended(self) -> bool:
        """Whether it is no more; how it ended, only its new parent knows."""
        return bool(select.select([self._process], [], [], 0)[0])

    def signal(self, number: signal.Signals) -> None:
        """Hand a signal on, if it still lives."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, number)

    def kill(self) -> None:
        """End it at once, and let go of it."""
        self.signal(signal.SIGKILL)
        os.close(self._process)


def _followed(pid: int) -> int:
    """A descriptor of the process, which says when it ends. Raises OSError, and kills it before."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        os.kill(pid, signal.SIGKILL)
        raise


def _start_orphan(argv: list[str], environment: Mapping[str, str], descriptors: list[int]) -> int:
    """Start a process whose parent is gone at once; its pid. Raises OSError.

    We have no thread and no loop, so that forking is safe.
    """
    ours, theirs = os.pipe()
    with open(ours, "rb") as answer:
        try:
            middle = os.fork()
            if middle == 0:
                _start_and_say(theirs, argv, environment, descriptors)
        finally:
            os.close(theirs)
        pid = int(answer.read() or -errno.EIO)
    os.waitpid(middle, 0)
    if pid < 0:
        raise OSError(-pid, os.strerror(-pid), argv[0])
    return pid


def _start_and_say(
    answer: int, argv: list[str], environment: Mapping[str, str], descriptors: list[int]
) -> NoReturn:
    """The middle one's part: start it, write its pid or what is wrong, less than 0, and be gone."""
    signal.set_wakeup_fd(-1)  # it is shared, and a signal is the parent's alone to hear
    try:
        child = subprocess.Popen(argv, env=environment, cwd=_START_FOLDER, pass_fds=descriptors)
        os.write(answer, str(child.pid).encode())
    except OSError as error:
        os.write(answer, str(-(error.errno or errno.EIO)).encode())
    finally:
        os._exit(0)


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
