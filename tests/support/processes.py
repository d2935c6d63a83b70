"""Child processes that never outlive the test run, and ports that no other program takes meanwhile.

Every child leads its own process group, so that its end ends its children too; with ``setpriv`` they also end
when the test run is killed. Nothing here sleeps for a fixed time: readiness is polled, with a deadline.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_POLL_SECONDS = 0.02


class ReservedPort:
    """A port of every local address, held from the moment it is chosen until it is released.

    The holding socket is bound but never listens: a server that sets SO_REUSEADDR may listen on the port,
    while the kernel does not choose it for a program that asks for any free one. It is bound to every
    address, IPv6 too: a port held on 127.0.0.1 alone may be the local port of a connection that another
    program has from this machine's address to another host, and then a server cannot listen on 0.0.0.0 or ::.
    """

    def __init__(self) -> None:
        try:
            self._holder = self._bound(socket.AF_INET6, "::")
        except OSError:  # a machine without IPv6
            self._holder = self._bound(socket.AF_INET, "0.0.0.0")
        self.number: int = self._holder.getsockname()[1]

    @staticmethod
    def _bound(family: int, ip: str) -> socket.socket:
        sock = socket.socket(family)
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((ip, 0))
        except OSError:
            sock.close()
            raise
        return sock

    def release(self) -> None:
        self._holder.close()


def run_wsgw(
    *arguments: str | Path, under: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of wsgw to its end, with ``under`` in front of it and ``env`` in its environment."""
    return subprocess.run(
        [*under, sys.executable, "-m", "wsgw", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll ``condition`` until it holds; TimeoutError naming ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(_POLL_SECONDS)


def children_of(pid: int) -> list[int]:
    """The pids of a process's children."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a program listens on the port now."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _dies_with_us() -> list[str]:
    """A prefix of the command line by which the kernel kills the program with the thread that started it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


class Child:
    """A program in its own process group, with its output in ``log``."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> None:
        self.argv = list(argv)
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*_dies_with_us(), *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self._killed = False
        atexit.register(self.kill)

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._popen.poll()

    def wait_for_ports(self, *ports: int, seconds: float = 30) -> None:
        """Wait until every port accepts; RuntimeError with the log if the program ends before."""

        def ready() -> bool:
            if self.returncode is not None:
                raise RuntimeError(f"{self.argv[0]} ended with {self.returncode}:\n{self.tail()}")
            return all(accepts(port) for port in ports)

        try:
            wait_until(ready, seconds, f"{self.argv[0]} on {ports}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.tail()}") from None

    def wait(self, seconds: float) -> int:
        """The exit status; subprocess.TimeoutExpired if it still runs after ``seconds``."""
        return self._popen.wait(seconds)

    def signal(self, number: int) -> None:
        """Signal the program itself, not its children."""
        with contextlib.suppress(ProcessLookupError):
            if self.returncode is None:
                os.kill(self.pid, number)

    def terminate(self, seconds: float = 10) -> int | None:
        """Send SIGTERM, and after ``seconds`` SIGKILL to the group; returns the status of an orderly end."""
        self.signal(signal.SIGTERM)
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL to the rest of the group."""
        if self._killed:
            return
        self._killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        atexit.unregister(self.kill)

    def text(self) -> str:
        """All output so far."""
        return self.log.read_text("utf-8", "replace")

    def tail(self, characters: int = 4000) -> str:
        """The end of the output so far, for failure messages."""
        return self.text()[-characters:]
