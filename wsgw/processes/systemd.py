"""State notifications to systemd, and listening sockets from it.

See sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3). Without systemd's variables in the environment,
the functions do nothing.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Mapping, MutableMapping

#: The first descriptor that systemd passes (SD_LISTEN_FDS_START).
_FIRST = 3
#: The process that must send ``WATCHDOG=1``. A successor gets the environment without it, and sends it too.
WATCHDOG_PID = "WATCHDOG_PID"


def notify(*lines: str) -> None:
    """Send ``NAME=value`` lines to systemd or another service manager. Never raises."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(lines).encode(), "\0" + address[1:] if address[0] == "@" else address)
    except OSError:
        pass  # the gateway also works if the service manager does not read


def reloading() -> str:
    """The line that sd_notify(3) requires with ``RELOADING=1``: the monotonic time in microseconds."""
    return f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"


def watchdog_timeout(environment: Mapping[str, str]) -> float | None:
    """Seconds in which systemd expects ``WATCHDOG=1`` from this process; None if it expects none."""
    timeout = environment.get("WATCHDOG_USEC", "")
    if environment.get(WATCHDOG_PID, str(os.getpid())) != str(os.getpid()) or not timeout.isdecimal():
        return None
    return int(timeout) / 1e6 or None


class Watchdog:
    """Tells systemd twice in each timeout that the parent's loop runs."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._timeout = watchdog_timeout(environment)
        #: When to send the next notification (monotonic).
        self.due = -math.inf if self._timeout else math.inf

    def tell(self, *, in_charge: bool) -> None:
        """Send ``WATCHDOG=1`` if it is due and this parent is ``in_charge``."""
        now = time.monotonic()
        if self._timeout and now >= self.due:
            self.due = now + self._timeout / 2
            if in_charge:
                notify("WATCHDOG=1")


def activated_sockets(environment: MutableMapping[str, str]) -> list[socket.socket]:
    """The sockets that systemd has opened for this process. Removes their variables from ``environment``."""
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
