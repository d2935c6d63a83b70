"""The systemd units: systemd's own checks, and the values from the configuration."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fixtures import missing
from tests.support.processes import ROOT
from wsgw.capacity.accept_share import LOOK_EVERY, LOOKS
from wsgw.processes.upgrade import TAKEOVER_TIMEOUT

CONFIG = """\
hosts: [localhost]
%s
listen:
%s
"""
LISTENER = "- {port: %d, ip: '%s', module: websocket_session, upstream: 'tcp://127.0.0.1:5222', backlog: %d}"


def units(folder: Path, listeners: list[tuple[int, str]], top: str = "", sockets: bool = False) -> Path:
    """Write the units for a configuration; returns their folder."""
    lines = "\n".join(LISTENER % (port, ip, port) for port, ip in listeners)
    config = folder / "wsgw.yml"
    config.write_text(CONFIG % (top, lines))
    argv = [sys.executable, str(ROOT / "deploy/units.py"), str(config), str(folder)]
    subprocess.run(
        [*argv, *(["--sockets"] if sockets else [])], cwd=ROOT, check=True, env={"PYTHONPATH": str(ROOT)}
    )
    return folder


def values(path: Path, name: str) -> list[str]:
    """The values of a setting, in order."""
    return [line.partition("=")[2] for line in path.read_text().splitlines() if line.startswith(f"{name}=")]


def systemd_analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze is not installed")
    argv = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def runnable(service: Path) -> None:
    """Let ExecStart name an existing program, which systemd-analyze requires."""
    text = service.read_text()
    assert "ExecStart=/opt/wsgw/current/bin/python -m wsgw\n" in text
    service.write_text(text.replace("/opt/wsgw/current/bin/python", f'"{sys.executable}"'))


def test_systemd_finds_no_error(tmp_path: Path) -> None:
    units(tmp_path, [(5288, "0.0.0.0"), (5289, "::")], sockets=True)
    runnable(tmp_path / "wsgw.service")
    done = systemd_analyze("verify", tmp_path / "wsgw.service", tmp_path / "wsgw.socket")
    ours = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "wsgw" in line]
    assert (done.returncode, ours) == (0, [])


def test_the_sandbox_leaves_little_to_a_hijacked_gateway(tmp_path: Path) -> None:
    units(tmp_path, [(5288, "0.0.0.0")])
    runnable(tmp_path / "wsgw.service")
    # Exposure in tenths: below 2.0 of 10 systemd calls a service OK, an unconfined one has 9.6.
    done = systemd_analyze(
        "security", "--offline=true", "--threshold=20", "--no-pager", tmp_path / "wsgw.service"
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("port", "sockets", "capability"),
    [(5288, False, ""), (443, False, "CAP_NET_BIND_SERVICE"), (443, True, "")],
    ids=["high", "low", "low-by-systemd"],
)
def test_only_a_low_port_needs_a_capability(
    tmp_path: Path, port: int, sockets: bool, capability: str
) -> None:
    service = units(tmp_path, [(port, "0.0.0.0")], sockets=sockets) / "wsgw.service"
    assert values(service, "AmbientCapabilities") == [capability]
    assert values(service, "CapabilityBoundingSet") == [capability]


@pytest.mark.parametrize(
    ("top", "seconds"), [("", "45"), ("drain_timeout: 100", "115")], ids=["default", "given"]
)
def test_systemd_waits_longer_than_a_drain_takes(tmp_path: Path, top: str, seconds: str) -> None:
    service = units(tmp_path, [(5288, "0.0.0.0")], top) / "wsgw.service"
    assert values(service, "TimeoutStopSec") == [seconds]


def test_the_watchdog_is_slower_than_the_parents_own_checks(tmp_path: Path) -> None:
    """The parent itself replaces hanging workers, and waits for an upgrade, in less time."""
    service = units(tmp_path, [(5288, "0.0.0.0")]) / "wsgw.service"
    [watchdog] = values(service, "WatchdogSec")
    assert watchdog == "2min"
    assert max(LOOK_EVERY * LOOKS, TAKEOVER_TIMEOUT) < 120


def test_there_is_no_socket_unit_unless_requested(tmp_path: Path) -> None:
    assert not (units(tmp_path, [(5288, "0.0.0.0")]) / "wsgw.socket").exists()


@pytest.mark.parametrize(
    ("listeners", "streams", "ipv6"),
    [
        ([(5288, "127.0.0.1")], ["127.0.0.1:5288"], "both"),
        ([(5288, "0.0.0.0"), (5289, "::")], ["0.0.0.0:5288", "[::]:5289"], "both"),
        ([(5288, "0.0.0.0"), (5288, "::")], ["0.0.0.0:5288", "[::]:5288"], "ipv6-only"),
    ],
    ids=["one", "two-ports", "one-port-twice"],
)
def test_the_socket_unit_opens_the_ports_of_the_listeners(
    tmp_path: Path, listeners: list[tuple[int, str]], streams: list[str], ipv6: str
) -> None:
    socket_unit = units(tmp_path, listeners, sockets=True) / "wsgw.socket"
    assert values(socket_unit, "ListenStream") == streams
    assert values(socket_unit, "BindIPv6Only") == [ipv6]
    assert values(socket_unit, "Backlog") == [str(max(port for port, _ in listeners))]
