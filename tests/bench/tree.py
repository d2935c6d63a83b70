"""The CPU time and memory of a process and its descendants, from ``/proc`` and the kernel's CPU clocks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds. ``total`` comes from the process clock, in nanoseconds; the parts from ticks of 10 ms."""

    total: float
    user: float
    system: float

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.total + other.total, self.user + other.user, self.system + other.system)

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.total - other.total, self.user - other.user, self.system - other.system)


def processes(pid: int) -> Iterator[int]:
    """``pid`` and all its descendants that live."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text("ascii").split():
            yield from processes(int(child))


def cpu(*pids: int) -> Cpu:
    """CPU time used so far by these processes and everything below them."""
    used = Cpu(0, 0, 0)
    for pid in (each for root in pids for each in processes(root)):
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        # CPUCLOCK_SCHED of another process, see clock_getcpuclockid(3).
        total = time.clock_gettime((~pid << 3) | 2)
        used += Cpu(total, int(fields[11]) / _TICKS, int(fields[12]) / _TICKS)
    return used


def machine() -> float:
    """CPU seconds that all programs and the kernel have used since the machine was started."""
    user, nice, system, _idle, _wait, irq, softirq = map(int, _first_line("/proc/stat").split()[1:8])
    return (user + nice + system + irq + softirq) / _TICKS


def _first_line(name: str) -> str:
    with open(name, encoding="ascii") as file:
        return file.readline()


def rss(*pids: int) -> int:
    """Resident bytes of these processes and everything below them."""
    every = [each for root in pids for each in processes(root)]
    return sum(int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) for pid in every) * _PAGE
