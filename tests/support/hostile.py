"""Helpers for tests of hostile peers: time and memory of the gateway, and a stream error for the server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.gateway import Gateway
from tests.support.wire import END

MIB = 1024 * 1024
#: The memory that a burst may add, at its peak and after it. One session's largest message is a quarter of a
#: megabyte, a server's stanza eight; without a bound it would be hundreds.
MEMORY = 64 * MIB


def _processes(gateway: Gateway) -> Iterator[tuple[Path, float]]:
    """The processes of the gateway's group: (folder of ``/proc``, CPU seconds used so far)."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("ascii", "replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[2] == str(gateway.child.pid):
            yield stat.parent, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cpu_seconds(gateway: Gateway) -> float:
    return sum(seconds for _, seconds in _processes(gateway))


def _memory(gateway: Gateway, field: str) -> int:
    """The sum of a line of ``/proc/PID/status``, in bytes."""
    total = 0
    for folder, _ in _processes(gateway):
        for line in (folder / "status").read_text("ascii", "replace").splitlines():
            if line.startswith(field):
                total += int(line.split()[1]) * 1024
    return total


@contextmanager
def bounded(gateway: Gateway, seconds: float, memory: int = MEMORY) -> Iterator[None]:
    """Assert that the block costs the gateway less than ``seconds`` of CPU and at most ``memory`` bytes.

    CPU time, which other programs on the machine do not change; the deadlines of reads show if it hangs.
    """
    for folder, _ in _processes(gateway):
        (folder / "clear_refs").write_text("5")  # the peak counts from here
    before, began = _memory(gateway, "VmRSS"), _cpu_seconds(gateway)
    yield
    took = _cpu_seconds(gateway) - began
    assert took < seconds, f"the gateway took {took:.2f} s of CPU instead of less than {seconds:g} s"
    grown = _memory(gateway, "VmHWM") - before
    assert grown < memory, f"the gateway took {grown / MIB:.0f} MiB"


def farewell_of(condition: str) -> tuple[bytes, bytes]:
    """A stream error for the XMPP server: the start and the end of its bytes."""
    return b"<stream:error><" + condition.encode() + b" ", b"</stream:error>" + END
