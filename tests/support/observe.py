"""Facts about a gateway's processes, observed from outside."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import resource
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.support.gateway import Gateway
from tests.support.processes import wait_until

#: For steps that take some seconds on a busy machine.
PATIENCE = 20.0
#: States of sockets in /proc/net/tcp.
ESTABLISHED, TIME_WAIT, LISTEN = "01", "06", "0A"


def held(gateway: Gateway, port: int) -> list[int]:
    """The number of established connections at ``port`` of each worker, ordered by pid."""
    inodes = _inodes(port, ESTABLISHED)
    return [len(inodes & _sockets_of(pid)) for pid in sorted(gateway.workers)]


def worker_of(gateway: Gateway, port: int, client_port: int) -> int | None:
    """The worker that holds the connection of ``client_port`` to ``port``; None if none does."""
    inodes = {inode for found, inode in _at(port, client_port) if found == ESTABLISHED}
    return next((pid for pid in gateway.workers if inodes & _sockets_of(pid)), None)


def listening(pids: Iterable[int], *ports: int) -> list[int]:
    """The processes that hold a socket listening at one of ``ports``."""
    inodes = {inode for port in ports for inode in _inodes(port, LISTEN)}
    return [pid for pid in pids if inodes & _sockets_of(pid)]


def wait_for_silence(*ports: int) -> None:
    """Wait until no connection is left at ``ports``, such as one that tested whether they accept."""
    wait_until(
        lambda: not any({state for state, _ in _at(port)} - {LISTEN, TIME_WAIT} for port in ports),
        PATIENCE,
        f"the connections at {ports} to end",
    )


def _inodes(port: int, state: str) -> set[str]:
    return {inode for found, inode in _at(port) if found == state}


def _at(port: int, peer: int | None = None) -> list[tuple[str, str]]:
    """(state, inode) of every socket at ``port``, with ``peer`` only of those connected to that port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    other = "" if peer is None else f":{peer:04X}"
    return [(row[3], row[9]) for row in rows if row[1].endswith(f":{port:04X}") and row[2].endswith(other)]


def _sockets_of(pid: int) -> set[str]:
    """The inodes of a process's sockets, without those that are closed during the call."""
    inodes = set()
    with contextlib.suppress(FileNotFoundError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    return inodes


def open_files() -> dict[str, str]:
    """The open descriptors of this process, without those that earlier tests left to the collector."""
    gc.collect()
    with os.scandir("/proc/self/fd") as entries:
        links = {entry.name: os.readlink(entry.path) for entry in entries}
    return {number: link for number, link in links.items() if not link.endswith("/fd")}


def asleep(pid: int) -> bool:
    """Whether a process sleeps."""
    return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "S"


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    return _in_mask(pid, "SigCgt", number)


def blocks(pid: int, number: int) -> bool:
    """Whether a process blocks a signal."""
    return _in_mask(pid, "SigBlk", number)


def _in_mask(pid: int, name: str, number: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    mask = next(line for line in lines if line.startswith(f"{name}:"))
    return bool(int(mask.split()[1], 16) >> (number - 1) & 1)


def said(gateway: Gateway, pattern: str, times: int = 1) -> None:
    """Wait until the log has so many matches of ``pattern``."""
    try:
        wait_until(lambda: count(gateway, pattern) >= times, PATIENCE, f"{pattern} in the log")
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{gateway.child.tail()}") from None


def count(gateway: Gateway, pattern: str) -> int:
    """The number of matches of ``pattern`` in the log."""
    return len(re.findall(pattern, gateway.child.text()))


def reload(gateway: Gateway) -> None:
    """Send SIGHUP, and wait until the parent has finished the reload."""
    done = "listens on|nothing has changed"
    before = count(gateway, done)
    gateway.child.signal(signal.SIGHUP)
    said(gateway, done, before + 1)


@contextlib.contextmanager
def without_descriptors(pid: int) -> Iterator[None]:
    """In the block, a process cannot open any other descriptor, whatever it closes; it keeps those it has."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    standard_streams = 3  # which are always open
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (standard_streams, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z"
    return True
