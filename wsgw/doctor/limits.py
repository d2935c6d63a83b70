"""What the machine allows: open files, local ports, queues of connections, processors."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from wsgw.config.cross_checks import sessions_within
from wsgw.config.model import Config, ListenerConfig
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Check, Inquiry
from wsgw.doctor.ports import running_gateway

#: Sessions that a limit should leave room for, unless max_sessions says how many.
_ENOUGH = 1000
_SYSCTL = Path("/proc/sys/net")
_CGROUPS = Path("/sys/fs/cgroup")


class _Process(NamedTuple):
    """The process whose limits count."""

    pid: str
    #: Whether it is the gateway; otherwise a gateway that is started elsewhere may have other limits.
    is_gateway: bool

    @property
    def name(self) -> str:
        """The subject of a finding."""
        return f"open files of process {self.pid}" if self.is_gateway else "open files of this shell"


def _check(inquiry: Inquiry) -> Iterator[Finding]:
    config = inquiry.config
    if config is None:
        return
    holder = running_gateway(config)
    process = _Process("self", False) if holder is None else _Process(str(holder.pid), True)
    limit = _limit_of_files(process) if process.is_gateway else inquiry.open_files
    if limit:
        yield from _open_files(config, process, limit)
    yield from _local_ports(config)
    yield from _queue(config)
    yield from _processors(config, process)


# Open files


def _open_files(config: Config, process: _Process, limit: int) -> Iterator[Finding]:
    room = sessions_within(limit, config.workers)
    wanted = max((_given(config, listener) for listener in config.listeners), default=0)
    what = f"{limit} at most, room for {room} sessions"
    fix = "raise LimitNOFILE (systemctl edit wsgw) or ulimit -n, and restart wsgw"
    if room < wanted:
        what += f", but max_sessions is {wanted}"
        verdict = Verdict.FAILED if process.is_gateway else Verdict.NOTE
        yield Finding("limit.files", process.name, verdict, what, f"{fix}, or lower max_sessions")
    elif room < _ENOUGH and not wanted and process.is_gateway:
        yield Finding("limit.files", process.name, Verdict.NOTE, what, fix)
    else:
        yield Finding("limit.files", process.name, Verdict.OK, what)


def _limit_of_files(process: _Process) -> int:
    """The soft limit; 0 if it cannot be seen."""
    try:
        text = Path(f"/proc/{process.pid}/limits").read_text("ascii")
    except OSError:
        return 0
    found = re.search(r"^Max open files +(\w+)", text, re.MULTILINE)
    if found is None:
        return 0
    return resource.RLIM_INFINITY if found[1] == "unlimited" else int(found[1])


def _given(config: Config, listener: ListenerConfig) -> int:
    """``max_sessions`` if it is in the configuration, otherwise 0: its default follows from the limit."""
    return listener.max_sessions if "max_sessions" in config.origin(listener).options else 0


# Ports and queues


def _local_ports(config: Config) -> Iterator[Finding]:
    """Each connection to an address of the XMPP server needs a local port, whatever the worker."""
    first, last = _numbers(_SYSCTL / "ipv4/ip_local_port_range")
    room = last - first + 1
    if room <= 1:
        return
    for listener in config.listeners:
        wanted = _given(config, listener)
        addresses = [one for one in listener.upstream if one.scheme != "unix"]
        if wanted and len(addresses) == len(listener.upstream) and wanted > room * len(addresses):
            yield Finding(
                "limit.ports",
                f"listener on port {listener.port}",
                Verdict.FAILED,
                f"max_sessions is {wanted}, but this machine has {room} local ports for each address of the "
                "XMPP server",
                'sysctl -w net.ipv4.ip_local_port_range="1024 65535", add an address to upstream, or reach '
                "the server by a Unix socket",
            )


def _queue(config: Config) -> Iterator[Finding]:
    (most,) = _numbers(_SYSCTL / "core/somaxconn", 1)
    for listener in config.listeners:
        if 0 < most < listener.backlog:
            yield Finding(
                "limit.queue",
                f"listener on port {listener.port}",
                Verdict.NOTE,
                f"the system queues {most} new connections, not {listener.backlog} (backlog)",
                f"sysctl -w net.core.somaxconn={listener.backlog}",
            )


def _numbers(path: Path, count: int = 2) -> list[int]:
    """The numbers in a file of ``/proc``; zeros if it cannot be read."""
    try:
        found = [int(part) for part in path.read_text("ascii").split()]
    except (OSError, ValueError):
        return [0] * count
    return found if len(found) == count else [0] * count


# Control groups


def _processors(config: Config, process: _Process) -> Iterator[Finding]:
    """Workers beyond the processor time of the control group wait for each other (cgroup v2: cpu.max)."""
    quota, _, period = _of_group(process, "cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal():
        processors = int(quota) / int(period)
        if config.workers > max(1, processors):
            yield Finding(
                "limit.processors",
                "workers",
                Verdict.NOTE,
                f"{config.workers} workers share the time of {processors:g} processors (cpu.max)",
                f"set workers to {max(1, int(processors))}",
            )


def _of_group(process: _Process, name: str) -> str:
    """The content of a file of the process's control group; empty if there is none."""
    try:
        return (_CGROUPS / _group_of(process) / name).read_text("ascii").strip()
    except (OSError, StopIteration):
        return ""


def _group_of(process: _Process) -> str:
    """The path of its control group (cgroups(7)). Raises OSError, and StopIteration without cgroup v2."""
    lines = Path(f"/proc/{process.pid}/cgroup").read_text("utf-8").splitlines()
    return next(line.removeprefix("0::/") for line in lines if line.startswith("0::/"))


LIMITS = Check("limit", _check)
