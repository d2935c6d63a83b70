"""What the tests of hostile peers share: the gateway's memory, and how a server hears of an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from real.gateway import Gateway
from wire import END, within

MIB = 1024 * 1024
#: What may be added by a burst, at its peak and after it. One session's worst message is a quarter of a
#: megabyte, a server's stanza eight; what a hole would cost is hundreds.
MEMORY = 64 * MIB


def _processes(gateway: Gateway) -> Iterator[Path]:
    """The gateway's processes: all of its group."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("ascii", "replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[2] == str(gateway.child.pid):
            yield stat.parent


def _memory(gateway: Gateway, field: str) -> int:
    """The sum of a line of ``/proc/PID/status``, in bytes."""
    total = 0
    for folder in _processes(gateway):
        for line in (folder / "status").read_text("ascii", "replace").splitlines():
            if line.startswith(field):
                total += int(line.split()[1]) * 1024
    return total


@contextmanager
def bounded(gateway: Gateway, seconds: float, memory: int = MEMORY) -> Iterator[None]:
    """The block takes less than ``seconds``, and the gateway never more than ``memory`` bytes more in it."""
    for folder in _processes(gateway):
        (folder / "clear_refs").write_text("5")  # the peak counts from here
    before = _memory(gateway, "VmRSS")
    with within(seconds):
        yield
    grown = _memory(gateway, "VmHWM") - before
    assert grown < memory, f"the gateway took {grown / MIB:.0f} MiB"


def farewell_of(condition: str) -> tuple[bytes, bytes]:
    """How the XMPP server hears of a stream error: start and end of the bytes."""
    return b"<stream:error><" + condition.encode() + b" ", b"</stream:error>" + END
