"""What can be seen of a gateway's processes from outside."""

from __future__ import annotations

import contextlib
import re
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

from real.gateway import Gateway
from real.processes import wait_until

#: For what takes some seconds on a busy machine.
PATIENCE = 20.0


def held(gateway: Gateway, port: int) -> list[int]:
    """How many established connections at ``port`` each worker holds, by pid."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    inodes = {row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"}
    counts = []
    for pid in sorted(gateway.workers):
        links = (str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir())
        counts.append(sum(link[8:-1] in inodes for link in links if link.startswith("socket:[")))
    return counts


def asleep(pid: int) -> bool:
    """Whether a process waits for something."""
    return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "S"


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    return _in_mask(pid, "SigCgt", number)


def blocks(pid: int, number: int) -> bool:
    """Whether a process holds a signal back."""
    return _in_mask(pid, "SigBlk", number)


def _in_mask(pid: int, name: str, number: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    mask = next(line for line in lines if line.startswith(f"{name}:"))
    return bool(int(mask.split()[1], 16) >> (number - 1) & 1)


def said(gateway: Gateway, pattern: str, times: int = 1) -> None:
    """Wait until the log holds so many matches of ``pattern``."""
    try:
        wait_until(lambda: count(gateway, pattern) >= times, PATIENCE, f"{pattern} in the log")
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{gateway.child.tail()}") from None


def count(gateway: Gateway, pattern: str) -> int:
    """How many matches of ``pattern`` the log holds."""
    return len(re.findall(pattern, gateway.child.text()))


def reload(gateway: Gateway) -> None:
    """SIGHUP, and wait until the parent has done what it says."""
    done = "listens on|stays as it was"
    before = count(gateway, done)
    gateway.child.signal(signal.SIGHUP)
    said(gateway, done, before + 1)


@contextlib.contextmanager
def without_descriptors(pid: int) -> Iterator[None]:
    """A process that can open nothing more meanwhile."""
    used = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    free = next(number for number in range(len(used) + 1) if number not in used)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z"
    return True
