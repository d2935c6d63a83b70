"""Workers: connections are spread, dead workers are replaced, and no process survives the parent."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.processes.conftest import Start
from tests.processes.upgrading import upgrade
from tests.support.both_ways import needs_native
from tests.support.gateway import Gateway
from tests.support.observe import (
    PATIENCE,
    asleep,
    count,
    gone,
    held,
    reload,
    said,
    wait_for_silence,
    without_descriptors,
)
from tests.support.processes import accepts, children_of, run_wsgw, wait_until
from tests.support.traffic import Traffic, assert_whole
from tests.support.wire import Browser

pytestmark = pytest.mark.slow


# -- spread -----------------------------------------------------------------------------------------


def _are_held(gateway: Gateway, connections: int) -> bool:
    return sum(held(gateway, gateway.ws_port)) == connections


def rightly_taken(gateway: Gateway, clients: int) -> int:
    """How many of so many connections, one after the other, went to a worker with the fewest."""
    rightly, before = 0, [0] * len(gateway.workers)
    with ExitStack() as connections:
        for there in range(1, clients + 1):
            connections.enter_context(socket.create_connection(("127.0.0.1", gateway.ws_port)))
            wait_until(partial(_are_held, gateway, there), PATIENCE, "it to be accepted")
            after = held(gateway, gateway.ws_port)
            taker = [now > then for now, then in zip(after, before, strict=True)].index(True)
            rightly += before[taker] == min(before)
            before = after
    wait_for_silence(gateway.ws_port)
    return rightly


@pytest.mark.parametrize("workers", [2, 3])
def test_connections_are_spread_over_the_workers(start: Start, workers: int) -> None:
    """A worker that does not get the processor in time misses its turn: on a busy machine some do."""
    gateway = start(1, ws_options=f"{{workers, {workers}}}, {{handshake_timeout, 60}}, ")
    wait_until(lambda: rightly_taken(gateway, 40) >= 32, 2 * PATIENCE, "connections to be spread")


def test_a_storm_of_connections_is_spread(start: Start, traffic: Traffic) -> None:
    gateway = start(traffic.port)
    books = traffic.storm(gateway.ws_port, 150)
    assert not [book for book in books if book.lost]
    counts = held(gateway, gateway.ws_port)
    assert sum(counts) == 150
    # Of the last connections, a worker may take one for each tenth of a second that the other is late.
    assert max(counts) - min(counts) <= 20, counts


def test_a_hanging_worker_does_not_delay_the_others(start: Start, traffic: Traffic) -> None:
    gateway = start(traffic.port)
    hanging = gateway.workers[0]
    wait_until(lambda: asleep(hanging), PATIENCE, "it to be ready")  # and to hold no lock
    os.kill(hanging, signal.SIGSTOP)
    try:
        books = traffic.begin(gateway.ws_port, 20)
        traffic.finish()
        assert_whole(books)
    finally:
        os.kill(hanging, signal.SIGCONT)


# -- death --------------------------------------------------------------------------------------------


def test_a_killed_worker_costs_its_sessions_only(start: Start, traffic: Traffic) -> None:
    gateway = start(traffic.port, ws_options="{max_sessions, 45}, ")
    books = traffic.begin(gateway.ws_port, 20)
    victim, other = sorted(gateway.workers)
    its_own = held(gateway, gateway.ws_port)[0]
    traffic.attempt(gateway.ws_port)
    os.kill(victim, signal.SIGKILL)
    wait_until(
        lambda: len(gateway.workers) == 2 and victim not in gateway.workers, PATIENCE, "another worker"
    )
    assert other in gateway.workers
    assert "killed by SIGKILL" in gateway.child.text()
    wait_until(lambda: sum(bool(book.lost) for book in books) == its_own, PATIENCE, "the losses")
    survivors = [book for book in books if not book.lost]
    traffic.moves(survivors)
    # Its connections no longer count: otherwise the limit would be reached. Attempts count for a moment.
    assert its_own > 3
    again = traffic.begin(gateway.ws_port, 22 + its_own)
    traffic.finish()
    assert_whole([*survivors, *again])
    assert traffic.attempts["101"] > 0
    # The killed worker may have been serving one.
    refused = {what: count for what, count in traffic.attempts.items() if what not in ("101", "503")}
    assert sum(refused.values()) <= 1, traffic.attempts
    assert "ConnectionRefusedError" not in refused


def test_a_worker_that_keeps_dying_is_replaced_less_and_less_often(start: Start) -> None:
    gateway = start(1, ws_options="{workers, 1}, ")
    for _ in range(3):
        wait_until(lambda: len(gateway.workers) == 1, PATIENCE, "a worker")
        (pid,) = gateway.workers
        os.kill(pid, signal.SIGSEGV)
        wait_until(lambda pid=pid: pid not in gateway.workers, PATIENCE, "its end")  # type: ignore[misc]
    wait_until(lambda: "replaced in 1 s" in gateway.child.text(), PATIENCE, "a pause")
    ends = r"ended: killed by SIGSEGV; \d+ connections are lost, it is replaced (.+)"
    assert re.findall(ends, gateway.child.text()) == ["now", "in 0.5 s", "in 1 s"]
    wait_until(lambda: len(gateway.workers) == 1, PATIENCE, "a worker")
    Browser(gateway.ws_port).close()


def kill_worker(gateway: Gateway, number: signal.Signals) -> None:
    """Kill one of the workers, and wait for the worker in its place."""
    victim, serving = gateway.workers[0], count(gateway, r"worker 0 \(process \d+\) serves")
    os.kill(victim, number)
    said(gateway, r"worker 0 \(process \d+\) serves", serving + 1)


@needs_native
def test_a_crashed_worker_is_replaced_by_one_without_native_functions(start: Start) -> None:
    """Its slot keeps to Python, also after a reload; an upgrade turns the native functions on again."""
    line = r"ERROR .*worker 0 runs without native functions until wsgw is upgraded or restarted"
    gateway = start(1, ws_options="{workers, 1}, ")
    kill_worker(gateway, signal.SIGKILL)
    assert not count(gateway, line)
    kill_worker(gateway, signal.SIGSEGV)
    assert count(gateway, line) == 1
    reload(gateway)
    kill_worker(gateway, signal.SIGBUS)
    assert count(gateway, line) == 1, "it used none"
    Browser(gateway.ws_port).close()
    parent = upgrade(gateway, gateway.child.pid)
    (worker,) = children_of(parent)
    os.kill(worker, signal.SIGABRT)
    said(gateway, line, 2)


def test_a_crash_in_pure_python_changes_nothing(start: Start) -> None:
    gateway = start(1, ws_options="{workers, 1}, ", env={"WSGW_NATIVE": "0"})
    kill_worker(gateway, signal.SIGSEGV)
    assert not count(gateway, "without native functions")


def test_a_parent_without_descriptors_tries_again(start: Start, traffic: Traffic) -> None:
    """No session ends by that."""
    gateway = start(traffic.port)
    with without_descriptors(gateway.child.pid):
        os.kill(gateway.workers[1], signal.SIGKILL)
        said(gateway, "no process for worker 1: Too many open files; next attempt in 1 s")
        gateway.child.signal(signal.SIGUSR2)
        said(gateway, "no upgrade: the new gateway cannot be started: .*Too many open files")
        books = traffic.begin(gateway.ws_port, 4)
    said(gateway, r"worker 1 \(process \d+\) serves")
    traffic.moves(books)
    traffic.finish()
    assert_whole(books)
    assert gateway.stop() == 0


def test_workers_end_with_their_parent(start: Start, traffic: Traffic) -> None:
    gateway = start(traffic.port, ws_options="{drain_timeout, 4}, ")
    (book, *others) = traffic.begin(gateway.ws_port, 6)
    workers = gateway.workers
    gateway.child.signal(signal.SIGKILL)
    wait_until(lambda: not accepts(gateway.ws_port), PATIENCE, "the port to be free for another")
    assert any(other.open for other in others), "while sessions continue"
    wait_until(lambda: all(map(gone, workers)), PATIENCE, "their end")
    traffic.over([book])
    assert book.code == 1012, "the session was ended in order"
    assert not accepts(gateway.ws_port)


def test_workers_leave_signals_to_the_parent(start: Start, traffic: Traffic) -> None:
    """Ctrl-C in a terminal and a stop of systemd reach every process of the group."""
    gateway = start(traffic.port)
    books = traffic.begin(gateway.ws_port, 4)
    workers = gateway.workers
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        for pid in workers:
            os.kill(pid, number)
    traffic.moves(books)
    assert gateway.workers == workers
    traffic.finish()
    assert_whole(books)
    assert gateway.stop() == 0


def test_the_parent_has_neither_threads_nor_a_loop(start: Start) -> None:
    gateway = start(1)
    assert len(list(Path(f"/proc/{gateway.child.pid}/task").iterdir())) == 1
    names = [str(link.readlink()) for link in Path(f"/proc/{gateway.child.pid}/fd").iterdir()]
    assert sum("eventpoll" in name for name in names) == 1, "its selector, and no gevent loop"


#: Other accounts could not read the files of the checkout without this.
REACH = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


def under_an_account_with(processes: int) -> subprocess.CompletedProcess[str]:
    """Run a gateway whose account may have so many processes and threads, to its end."""
    limits = [
        "prlimit",
        f"--nproc={processes}",
        "--",
        "setpriv",
        f"--reuid={20_000 + os.getpid() % 40_000}",  # for this account: all its processes count
        "--clear-groups",
        *REACH,
        "--",
    ]
    upstream = ("--domain", "localhost", "--upstream", "tcp://127.0.0.1:1")
    return run_wsgw("--listen", "127.0.0.1:0", *upstream, under=limits)


@pytest.mark.root
def test_a_gateway_whose_workers_cannot_start_says_why() -> None:
    """Its account may have one process, which is the parent."""
    done = under_an_account_with(1)
    assert done.returncode == 1
    assert "no process for worker 0: Resource temporarily unavailable" in done.stderr
    assert "the workers cannot start" in done.stderr


@pytest.mark.root
def test_a_worker_that_cannot_start_loses_no_log_line() -> None:
    """Its account may have two processes, but no thread, which the worker needs for its log."""
    done = under_an_account_with(2)
    assert done.returncode == 1
    assert "can't start new thread" in done.stderr
    assert re.search(r"worker 0 \(process \d+\) ended: exit status 1$", done.stderr, re.MULTILINE)
    assert "the workers cannot start" in done.stderr
    assert "lost" not in done.stderr
    assert "replaced" not in done.stderr


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_is_the_configured_one(start: Start, workers: int) -> None:
    gateway = start(1, ws_options=f"{{workers, {workers}}}, ")
    assert len(gateway.workers) == workers
    assert all(children_of(pid) == [] for pid in gateway.workers)
