"""A gateway under systemd: its notifications, the watchdog, and sockets that systemd passes."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.conftest import Start
from tests.processes.supervisor import Supervisor
from tests.processes.upgrading import stop, upgrade
from tests.support.certificates import Certificate
from tests.support.gateway import Gateway
from tests.support.observe import PATIENCE
from tests.support.processes import ROOT, ReservedPort, wait_until
from tests.support.traffic import Traffic, assert_whole
from tests.support.wire import SECONDS
from wsgw.processes.systemd import watchdog_timeout

pytestmark = pytest.mark.slow


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path / "notify")
    yield supervisor
    supervisor.close()


def test_systemd_is_notified_of_start_upgrade_and_stop(start: Start, supervisor: Supervisor) -> None:
    gateway = start(1, env={"NOTIFY_SOCKET": supervisor.address})
    assert supervisor.heard().values["READY"] == "1"
    gateway.child.signal(signal.SIGHUP)
    assert int(supervisor.heard("RELOADING").values["MONOTONIC_USEC"]) > 0
    assert supervisor.heard("READY").values["READY"] == "1"
    newest = upgrade(gateway, gateway.child.pid)
    assert supervisor.heard("MAINPID").values["MAINPID"] == str(newest)
    stop(newest)
    assert supervisor.heard("STOPPING").values["STOPPING"] == "1"


def test_the_serving_parent_notifies_the_watchdog(
    start: Start, supervisor: Supervisor, traffic: Traffic
) -> None:
    """At half its time; after an upgrade the new parent, although its pid was not in the environment."""
    timeout = {"NOTIFY_SOCKET": supervisor.address, "WATCHDOG_USEC": "400000"}
    gateway = start(traffic.port, env=timeout)
    traffic.begin(gateway.ws_port, 1)
    supervisor.heard("READY")
    beats = [supervisor.heard("WATCHDOG") for _ in range(10)]
    assert {beat.pid for beat in beats} == {gateway.child.pid}
    pauses = [later.at - sooner.at for sooner, later in itertools.pairwise(beats)]
    assert 0.1 < statistics.median(pauses) < 0.35, pauses  # on a busy machine single pauses may be long
    newest = upgrade(gateway, gateway.child.pid)
    supervisor.heard("MAINPID")
    assert {supervisor.heard("WATCHDOG").pid for _ in range(5)} == {newest}
    stop(newest)


def test_a_watchdog_of_another_process_is_not_notified(start: Start, supervisor: Supervisor) -> None:
    """sd_watchdog_enabled(3): ``WATCHDOG_PID`` names the process."""
    watchdog = {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    gateway = start(1, env={"NOTIFY_SOCKET": supervisor.address, **watchdog})
    assert gateway.stop() == 0
    messages = [supervisor.heard()]
    while "STOPPING" not in messages[-1].values:
        messages.append(supervisor.heard())
    assert not any("WATCHDOG" in message.values for message in messages)


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_a_watchdog_belongs_to_the_named_process(environment: dict[str, str], seconds: float | None) -> None:
    assert watchdog_timeout(environment) == seconds


#: Passes a socket as systemd does; then becomes the gateway.
_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="wsgw.socket")
os.execv(sys.executable, [sys.executable, "-m", "wsgw", "--offline", *sys.argv[2:]])
"""


def listens(log: Path, times: int) -> None:
    """Wait until the gateway has logged so many listening addresses; fail with the log if it does not."""
    done = re.compile(" listens on ws://|nothing has changed")
    try:
        wait_until(lambda: len(done.findall(log.read_text())) >= times, PATIENCE, f"settings number {times}")
    except TimeoutError as error:
        raise TimeoutError(f"{error}\n{log.read_text()}") from None
    assert log.read_text().count(" listens on ws://") == times, log.read_text()


@pytest.mark.parametrize("ip", ["127.0.0.1", "::"])
def test_sockets_of_systemd_are_taken_over(
    traffic: Traffic, certificate: Certificate, tmp_path: Path, ip: str
) -> None:
    """By address, and never closed: a listener that a reload removes may be added again."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family) as listening:
        if ":" in ip:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind((ip, 0))
        listening.listen(64)
        port = listening.getsockname()[1]
        config = tmp_path / "wsgw.yml"
        address = "127.0.0.1" if ip == "127.0.0.1" else "0.0.0.0"
        text = (
            f"hosts: [localhost]\ndrain_timeout: 1\nlisten:\n  - {{port: {port}, ip: {address}, "
            f"module: websocket_session, request_handlers: {{/ws-xmpp: mod_websocket}}, "
            f"upstream: 'tcp://127.0.0.1:{traffic.port}'}}\n"
        )
        config.write_text(text)
        log = tmp_path / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", _ACTIVATE, str(listening.fileno()), "--config", str(config)],
                cwd=ROOT,
                stderr=output,
                pass_fds=[listening.fileno()],
                start_new_session=True,
            )
        try:
            books = traffic.begin(port, 4)
            assert "takes over the socket" in log.read_text()
            other = ReservedPort()
            config.write_text(text.replace(f"port: {port}", f"port: {other.number}"))
            process.send_signal(signal.SIGHUP)
            listens(log, 2)
            assert "there is no listener" in log.read_text()
            waiting = socket.create_connection(("127.0.0.1", port), SECONDS)  # systemd keeps it open
            waiting.close()
            config.write_text(text)
            process.send_signal(signal.SIGHUP)
            listens(log, 3)
            books += traffic.begin(port, 4)
            process.send_signal(signal.SIGHUP)
            listens(log, 4)
            assert log.read_text().count("takes over the socket") == 2, (
                "it does not take over a socket that it has"
            )
            process.send_signal(signal.SIGUSR2)
            wait_until(lambda: "has taken over" in log.read_text(), PATIENCE, "the upgrade")
            books += traffic.begin(port, 4)
            newest = int(re.findall(r"process (\d+) has taken over", log.read_text())[-1])
            traffic.finish()
            assert_whole(books)
            assert process.wait(PATIENCE) == 0
            stop(newest)
            other.release()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_sockets_for_another_process_are_ignored(certificate: Certificate, tmp_path: Path) -> None:
    """``LISTEN_PID`` names the process."""
    gateway = Gateway(tmp_path, certificate, 1, env={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    try:
        gateway.start()
        assert "systemd" not in gateway.child.text()
        assert gateway.stop() == 0
    finally:
        gateway.close()
