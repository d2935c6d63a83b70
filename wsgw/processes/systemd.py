"""What systemd is told and gives: state notifications, and sockets it listens on for us.

sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3). Without its variables in the environment, nothing
is done.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Mapping, MutableMapping

_FIRST = 3
#: Whose ``WATCHDOG=1`` is awaited; a process that takes over goes by ``WATCHDOG_USEC`` alone.
WATCHDOG_PID = "WATCHDOG_PID"


def notify(*lines: str) -> None:
    """Send ``NAME=value`` lines to whoever supervises us. Never raises."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(lines).encode(), "\0" + address[1:] if address[0] == "@" else address)
    except OSError:
        pass  # a supervisor that does not listen is no reason to end


def reloading() -> str:
    """The line that goes with ``RELOADING=1``: since when."""
    return f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"


def watchdog_timeout(environment: Mapping[str, str]) -> float | None:
    """Seconds after which a process that does not send ``WATCHDOG=1`` is killed; None if that is not us."""
    timeout = environment.get("WATCHDOG_USEC", "")
    if environment.get(WATCHDOG_PID, str(os.getpid())) != str(os.getpid()) or not timeout.isdecimal():
        return None
    return int(timeout) / 1e6 or None


class Watchdog:
    """Tells systemd twice in each timeout that the parent's loop turns."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._timeout = watchdog_timeout(environment)
        #: When to tell it again (monotonic).
        self.due = -math.inf if self._timeout else math.inf

    def tell(self, *, in_charge: bool) -> None:
        """Do so if it is time; a parent that is not ``in_charge`` keeps silent."""
        now = time.monotonic()
        if self._timeout and now >= self.due:
            self.due = now + self._timeout / 2
            if in_charge:
                notify("WATCHDOG=1")


def activated_sockets(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets systemd has opened for this very process; what says so is taken out of ``environment``."""
    count = environment.pop("LISTEN_FDS", "")
    pid = environment.pop("LISTEN_PID", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    found = [socket.socket(fileno=number) for number in range(_FIRST, _FIRST + int(count))]
    for sock in found:
        sock.setblocking(False)
        os.set_inheritable(sock.fileno(), False)
    return found
