"""An upgrade: starts the next parent with the code that is on the disk now.

The successor inherits the listening sockets, the tables of connections and a channel to this parent, which
continues to serve until the successor reports that it serves (``succession``).
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

#: The successor's only message before it stops: it serves.
SERVING = "serving"
#: The successor must serve within so many seconds.
TAKEOVER_TIMEOUT = 60.0


class Successor:
    """The parent that is to take over.

    It is not a child of this process but an orphan, which systemd adopts. systemd waits only for its own
    children, both to let them drain when it stops a service and to restart the service when they die.
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
        self.deadline = time.monotonic() + TAKEOVER_TIMEOUT

    @property
    def ended(self) -> bool:
        """Whether the process has ended. Its exit status is known only to the process that adopted it."""
        return bool(select.select([self._process], [], [], 0)[0])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it has not ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, number)

    def kill(self) -> None:
        """Kill the process, and close its descriptor."""
        self.signal(signal.SIGKILL)
        os.close(self._process)


def _followed(pid: int) -> int:
    """A descriptor of the process, which is readable when the process ends.

    Raises OSError if there is none; the process is killed then.
    """
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        os.kill(pid, signal.SIGKILL)
        raise


def _start_orphan(argv: list[str], environment: Mapping[str, str], descriptors: list[int]) -> int:
    """Start a process whose own parent exits at once; returns its process id. Raises OSError.

    Forking is safe here, because the parent of a gateway has no other thread and no gevent loop.
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
    """In the process between: start ``argv``, write its process id or a negative errno, and exit."""
    signal.set_wakeup_fd(-1)  # the descriptor is the parent's; a signal to this process must not reach it
    try:
        child = subprocess.Popen(argv, env=environment, cwd=_START_FOLDER, pass_fds=descriptors)
        os.write(answer, str(child.pid).encode())
    except OSError as error:
        os.write(answer, str(-(error.errno or errno.EIO)).encode())
    finally:
        os._exit(0)


def command(argv: Sequence[str]) -> list[str]:
    """The command that starts the successor, from ``argv``, the command that started this process.

    File names in it stay as they were given, because a symbolic link in them leads to the new release. For an
    installed script the interpreter is left out: the successor runs under the one that the script now names.
    """
    if len(argv) > 1 and not argv[1].startswith("-") and os.access(argv[1], os.X_OK):
        with Path(argv[1]).open("rb") as file:
            if file.read(2) == b"#!":
                return list(argv[1:])
    return list(argv)


def _folder() -> str | None:
    """The working directory, by the name under which it was entered (``PWD``); None if that is not known."""
    name = os.environ.get("PWD", "")
    try:
        return name if name and Path(name).samefile(".") else None
    except OSError:
        return None


#: Read at the start: at the time of the upgrade, a symbolic link in the name may lead to a new directory.
_START_FOLDER = _folder()
