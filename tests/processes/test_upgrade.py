"""SIGUSR2: a new parent takes over the ports, and the old one keeps its sessions."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.processes.conftest import Start
from tests.processes.upgrading import begin_upgrade, stop, upgrade
from tests.support.observe import PATIENCE, count, gone, held, open_files, reload, said
from tests.support.processes import Child, ReservedPort, accepts, children_of, wait_until
from tests.support.traffic import Traffic, assert_whole
from tests.support.wire import SECONDS, Browser, upgrade_request
from wsgw.processes.upgrade import Successor

pytestmark = pytest.mark.slow


def status(port: int) -> bytes:
    """The status of the answer to a WebSocket upgrade."""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as sock:
        sock.sendall(upgrade_request())
        return sock.recv(4096).split()[1]


def test_two_upgrades_under_traffic_refuse_no_connection(start: Start, traffic: Traffic) -> None:
    """With sessions in every generation."""
    gateway = start(traffic.port)
    first = gateway.child.pid
    traffic.attempt(gateway.ws_port)
    books = [traffic.begin(gateway.ws_port, 15, 0.05)]
    second = upgrade(gateway, first)
    books.append(traffic.begin(gateway.ws_port, 10, 0.05) + traffic.begin(gateway.wss_port, 5, secure=True))
    third = upgrade(gateway, second)
    books.append(traffic.begin(gateway.ws_port, 10, 0.05))
    traffic.moves([book for each in books for book in each], 10)
    assert len({first, second, third}) == 3
    for parent in (first, second, third):
        assert len(children_of(parent)) == 2
    assert not gone(first)
    assert gateway.child.returncode is None
    traffic.finish()
    for each in books:
        assert_whole(each)
    assert set(traffic.attempts) == {"101"}, traffic.attempts
    assert gateway.child.wait(PATIENCE) == 0, "the oldest parent ends with its last session"
    wait_until(lambda: gone(second), PATIENCE, "the second to end likewise")
    Browser(gateway.ws_port).close()
    stop(third)
    gateway.assert_clean_log({})


def test_a_failed_fork_leaves_no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated attempts use up no descriptors."""

    def fork() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    before = open_files()
    with pytest.raises(BlockingIOError):
        Successor({}, [], [])
    assert open_files() == before


def test_an_accepted_connection_is_served_by_the_process_that_accepted_it(start: Start) -> None:
    """A request with half of its head read belongs to the old gateway."""
    gateway = start(1)
    request = upgrade_request()
    with socket.create_connection(("127.0.0.1", gateway.ws_port), SECONDS) as sock:
        sock.sendall(request[:-2])
        wait_until(lambda: sum(held(gateway, gateway.ws_port)) == 1, PATIENCE, "it to be accepted")
        newest = upgrade(gateway, gateway.child.pid)
        sock.sendall(request[-2:])
        assert b" 101 " in sock.recv(4096)
        assert gateway.child.returncode is None
    assert gateway.child.wait(PATIENCE) == 0
    stop(newest)


def test_a_new_gateway_that_fails_changes_nothing(start: Start, traffic: Traffic) -> None:
    gateway = start(traffic.port)
    books = traffic.begin(gateway.ws_port, 10)
    traffic.attempt(gateway.ws_port)
    good = gateway.config.read_text()
    gateway.config.write_text(good.replace("{hosts, ", "{hosts "))
    gateway.child.signal(signal.SIGUSR2)
    said(gateway, "no upgrade: the new gateway ended before it served; this one continues")
    traffic.moves(books)
    gateway.config.write_text(good)
    reload(gateway)
    newest = upgrade(gateway, gateway.child.pid)
    books += traffic.begin(gateway.ws_port, 5)
    traffic.finish()
    assert_whole(books)
    assert set(traffic.attempts) == {"101"}, traffic.attempts
    assert gateway.child.wait(PATIENCE) == 0
    stop(newest)


def test_a_new_gateway_that_is_stopped_before_it_serves_changes_nothing(
    start: Start, traffic: Traffic
) -> None:
    """It is stopped while its workers start, and has not taken over anything yet."""
    gateway = start(traffic.port)
    books = traffic.begin(gateway.ws_port, 4)
    newest, gate = begin_upgrade(gateway)
    os.kill(newest, signal.SIGTERM)
    gate.open()
    said(gateway, "no upgrade: the new gateway ended before it served; this one continues")
    assert "has taken over" not in gateway.child.text()
    traffic.begin(gateway.ws_port, 2)
    traffic.moves(books)
    traffic.finish()
    assert_whole(traffic.books)
    assert gateway.stop() == 0


def test_a_stop_while_the_new_gateway_starts_ends_both(start: Start) -> None:
    gateway = start(1)
    newest, gate = begin_upgrade(gateway)
    gateway.child.signal(signal.SIGTERM)
    assert gateway.child.wait(PATIENCE) == 0
    wait_until(lambda: gone(newest), PATIENCE, "the end of the new one")
    gate.open()
    assert re.search("no upgrade: this gateway stops$", gateway.child.text(), re.MULTILINE)
    assert not accepts(gateway.ws_port)


def test_a_stop_of_the_newest_gateway_drains_them_all(start: Start, traffic: Traffic) -> None:
    gateway = start(traffic.port)
    books = traffic.begin(gateway.ws_port, 4)
    second = upgrade(gateway, gateway.child.pid)
    books += traffic.begin(gateway.ws_port, 4)
    third = upgrade(gateway, second)
    books += traffic.begin(gateway.ws_port, 4)
    stop(third)
    assert gateway.child.wait(PATIENCE) == 0
    wait_until(lambda: gone(second), PATIENCE, "the end of the second")
    traffic.over(books)
    assert [book.code for book in books] == [1012] * 12


def test_the_death_of_the_newest_gateway_leaves_the_old_sessions(start: Start, traffic: Traffic) -> None:
    gateway = start(traffic.port)
    books = traffic.begin(gateway.ws_port, 4)
    os.kill(upgrade(gateway, gateway.child.pid), signal.SIGKILL)
    traffic.moves(books, 10)
    traffic.finish()
    assert_whole(books)
    assert gateway.child.wait(PATIENCE) == 0


def test_upgrade_timeout_ends_the_old_sessions(start: Start, traffic: Traffic) -> None:
    gateway = start(traffic.port, ws_options="{upgrade_timeout, 1}, {drain_timeout, 1}, ")
    books = traffic.begin(gateway.ws_port, 4)
    newest = upgrade(gateway, gateway.child.pid)
    assert gateway.child.wait(PATIENCE) == 0
    traffic.over(books)
    assert [book.code for book in books] == [1012] * 4
    stop(newest)


def test_a_stopped_retired_parent_drains_even_if_upgrade_timeout_expires_meanwhile(
    start: Start, traffic: Traffic
) -> None:
    """The stop has set the time for its sessions; the end of ``upgrade_timeout`` is no second signal."""
    gateway = start(traffic.port, ws_options="{upgrade_timeout, 3}, {drain_timeout, 8}, ")
    books = traffic.begin(gateway.ws_port, 8)
    newest = upgrade(gateway, gateway.child.pid)
    gateway.child.signal(signal.SIGTERM)
    assert gateway.child.wait(PATIENCE) == 0
    traffic.over(books)
    assert [book.code for book in books] == [1012] * 8
    stop(newest)


@pytest.mark.parametrize("end", ["finish", "kill"])
def test_limits_count_every_generation(start: Start, traffic: Traffic, end: str) -> None:
    """Also the sessions of the oldest gateway, but not those of killed processes."""
    gateway = start(traffic.port, ws_options="{max_sessions, 6}, ")
    books = traffic.begin(gateway.ws_port, 3)
    older = [gateway.child.pid, *gateway.workers]
    newer = upgrade(gateway, gateway.child.pid)
    books += traffic.begin(gateway.ws_port, 2)
    older += [newer, *children_of(newer)]
    newest = upgrade(gateway, newer)
    books += traffic.begin(gateway.ws_port, 1)
    assert not [book for book in books if book.lost]
    assert status(gateway.ws_port) == b"503"
    if end == "kill":
        for pid in older:
            with contextlib.suppress(ProcessLookupError):  # a worker that had no session
                os.kill(pid, signal.SIGKILL)
    else:
        traffic.finish()
    wait_until(lambda: status(gateway.ws_port) == b"101", PATIENCE, "room")
    stop(newest)
    gateway.assert_clean_log({})


def test_a_new_gateway_takes_settings_and_ports_of_its_file(start: Start, traffic: Traffic) -> None:
    """It opens the new listeners of its file; those that are gone from it end with the old gateway."""
    gateway = start(traffic.port)
    extra = ReservedPort()
    text = gateway.config.read_text()
    gateway.config.write_text(
        text.replace(f"{{{gateway.wss_port}, websocket_session", f"{{{extra.number}, websocket_session")
    )
    newest = upgrade(gateway, gateway.child.pid)
    books = traffic.begin(extra.number, 2, secure=True) + traffic.begin(gateway.ws_port, 2)
    assert gateway.child.wait(PATIENCE) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", gateway.wss_port), SECONDS)
    traffic.finish()
    assert_whole(books)
    stop(newest)
    extra.release()


def test_a_reload_during_an_upgrade_is_done_by_the_new_gateway(start: Start) -> None:
    """The new gateway may have read the file before it was changed."""
    gateway = start(1)
    newest, gate = begin_upgrade(gateway)
    gateway.child.signal(signal.SIGHUP)
    gate.open()
    said(gateway, "has taken over")
    said(gateway, rf"parent\[{newest}\]: reading the configuration again")
    assert count(gateway, "reading the configuration again") == 1
    stop(newest)


def test_a_reload_during_a_failed_upgrade_is_done_by_the_old_gateway(start: Start) -> None:
    gateway = start(1)
    newest, gate = begin_upgrade(gateway)
    gateway.child.signal(signal.SIGHUP)
    os.kill(newest, signal.SIGKILL)
    said(gateway, "no upgrade: the new gateway ended before it served; this one continues")
    said(gateway, rf"parent\[{gateway.child.pid}\]: reading the configuration again")
    gate.open()
    assert gateway.stop() == 0


def test_the_old_gateway_passes_a_reload_on(start: Start, traffic: Traffic) -> None:
    gateway = start(traffic.port)
    traffic.begin(gateway.ws_port, 1)
    newest = upgrade(gateway, gateway.child.pid)
    gateway.child.signal(signal.SIGHUP)
    said(gateway, rf"parent\[{newest}\]: reading the configuration again")
    stop(newest)


@pytest.mark.root
def test_process_1_of_a_container_refuses_an_upgrade(tmp_path: Path) -> None:
    """Its end would end the container."""
    port = ReservedPort()
    listen = ("--listen", f"127.0.0.1:{port.number}", "--domain", "localhost")
    wsgw = [sys.executable, "-m", "wsgw", *listen, "--upstream", "tcp://127.0.0.1:1", "--user", "root"]
    container = Child(["unshare", "--pid", "--fork", "--kill-child", *wsgw], tmp_path / "log")
    try:
        container.wait_for_ports(port.number)
        [gateway] = children_of(container.pid)
        os.kill(gateway, signal.SIGUSR2)
        refused = "no upgrade: a container ends with its process 1, which is this one"
        wait_until(lambda: refused in container.text(), PATIENCE, "the refusal")
        assert accepts(port.number)
        os.kill(gateway, signal.SIGTERM)
        assert container.wait(PATIENCE) == 0
    finally:
        container.kill()
        port.release()
