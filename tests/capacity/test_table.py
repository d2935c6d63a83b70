"""The counts of a gateway in real processes, which race for the last place and are killed."""

from __future__ import annotations

import gc
import math
import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import pytest

from wsgw.capacity.admission import Admission, ConnectionLimits, Ticket
from wsgw.capacity.table import SharedTable
from wsgw.errors import HandshakeRefused

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

UNLIMITED = ConnectionLimits(sys.maxsize, sys.maxsize, math.inf, 1)
#: The default limits of an address.
LIMITS = ConnectionLimits(sys.maxsize, 1000, 50.0, 200)
#: Longer than any step here, in seconds.
SECONDS = 30.0


class Worker:
    """A forked process that obeys orders, and is killed at the end."""

    def __init__(self, table: SharedTable, slot: int) -> None:
        self._connection, theirs = Pipe()
        self.slot = slot
        self.alive = True
        self.pid = os.fork()
        if not self.pid:
            try:
                self._connection.close()
                _serve(Life(table, slot), theirs)
            finally:
                os._exit(1)
        theirs.close()

    def tell(self, order: str, *details: Any) -> None:
        """Give an order, which begins at once."""
        self._connection.send((order, details))

    def answers(self, within: float = SECONDS) -> Any:
        """The result of the order."""
        assert self._connection.poll(within), "no answer"
        return self._connection.recv()

    def ask(self, order: str, *details: Any) -> Any:
        """Give an order and wait for its result."""
        self.tell(order, *details)
        return self.answers()

    def is_waiting(self) -> bool:
        """Whether it sleeps in the kernel until it gets a lock, seen from outside."""
        with open("/proc/locks") as locks:
            return any(line.split()[1] == "->" and line.split()[5] == str(self.pid) for line in locks)

    def kill(self) -> None:
        """Kill it, as the kernel does when memory is short; once, since another process may get its pid."""
        if self.alive:
            self.alive = False
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._connection.close()


class Life:
    """The orders for a worker."""

    def __init__(self, table: SharedTable, slot: int) -> None:
        self.table = table
        self.admission = Admission(table, slot)
        self.tickets: list[Ticket] = []

    def connect(self, attempts: int, address: str, limits: ConnectionLimits, now: float = 0.0) -> int:
        """The number of admitted connections of ``attempts``."""
        return sum(self._connect(address, limits, now) for _ in range(attempts))

    def _connect(self, address: str, limits: ConnectionLimits, now: float) -> bool:
        ticket = None
        try:
            ticket = self.admission.admit(limits)
            ticket.charge(address, now)
        except HandshakeRefused:
            if ticket is not None:
                ticket.release()
            return False
        self.tickets.append(ticket)
        return True

    def refused(self) -> dict[str, int]:
        """The refused connections, by reason."""
        return dict(self.admission.refused)

    def end(self, number: int) -> None:
        """End so many of the admitted connections."""
        for _ in range(number):
            self.tickets.pop().release()

    def see(self) -> int:
        """The connections of the gateway."""
        return self.admission.connections

    def lock(self, number: int) -> None:
        """Take a lock and keep it."""
        self.table.lock(number)

    def half_write(self, address: str) -> None:
        """Lock the set of an address and write its key only."""
        key, number = self.table.key_of(address)
        self.table.lock(number)
        self.table.insert(number, key, 0.0)

    def churn(self, addresses: int, seed: int) -> None:
        """Connect and end at random for ever, unless killed."""
        dice = random.Random(seed)
        while True:
            if len(self.tickets) < 200 and dice.random() < 0.5:
                address = f"2001:db8:0:{dice.randrange(addresses):x}::1"
                self._connect(address, ConnectionLimits(sys.maxsize, sys.maxsize, 1e9, 10), time.monotonic())
            elif self.tickets:
                self.tickets.pop(dice.randrange(len(self.tickets))).release()

    def pass_through(self, visitors: int, network: int) -> tuple[float, float]:
        """Charge and discharge each address; return the CPU seconds of the first and the last tenth."""
        tenths = []
        for tenth in range(10):
            began = time.process_time()
            for number in range(tenth * visitors // 10, (tenth + 1) * visitors // 10):
                address = f"2001:{network:x}:{number >> 16:x}:{number & 0xFFFF:x}::/64"
                entry = self.admission.charge(address, LIMITS, number / 10_000)
                self.table.discharge(entry, self.admission.slot)
            tenths.append(time.process_time() - began)
        return tenths[0], tenths[-1]


def _serve(life: Life, connection: Connection) -> None:
    connection.send("ready")
    while True:
        order, details = connection.recv()
        connection.send(getattr(life, order)(*details))


StartWorker = Callable[[SharedTable, int], Worker]


@pytest.fixture
def start_worker() -> Iterator[StartWorker]:
    workers: list[Worker] = []

    def start(table: SharedTable, slot: int) -> Worker:
        worker = Worker(table, slot)
        workers.append(worker)
        assert worker.answers() == "ready"
        return worker

    yield start
    for worker in workers:
        worker.kill()


def entries(table: SharedTable) -> Counter[int]:
    """The entries, by the number of their connections."""
    return Counter(map(table.connections_from, range(table.addresses)))


# Counts and limits of several processes


def test_counts_add_up(start_worker: StartWorker) -> None:
    table = SharedTable.create(8)
    workers = [start_worker(table, slot) for slot in (0, 1, 5)]
    for number, worker in enumerate(workers, 1):
        assert worker.ask("connect", 10 * number, "192.0.2.1", UNLIMITED) == 10 * number
    assert [table.connections_of(slot) for slot in range(8)] == [10, 20, 0, 0, 0, 30, 0, 0]
    assert [worker.ask("see") for worker in workers] == [60, 60, 60], "also those of the later workers"
    assert entries(table) == {0: table.addresses - 1, 60: 1}
    workers[1].ask("end", 15)
    assert [worker.ask("see") for worker in workers] == [45, 45, 45]
    assert entries(table) == {0: table.addresses - 1, 45: 1}


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (UNLIMITED._replace(max_sessions=3000), "too many sessions"),
        (UNLIMITED._replace(max_sessions_per_ip=3000), "too many sessions from your address"),
        (UNLIMITED._replace(rate=0.001, burst=3000), "too many connections from your address"),
    ],
    ids=["max_sessions", "max_sessions_per_ip", "max_connect_rate_per_ip"],
)
def test_a_limit_is_for_all_workers(start_worker: StartWorker, limits: ConnectionLimits, reason: str) -> None:
    """Four workers at once ask for twice the number of places: they get exactly all places."""
    table = SharedTable.create(4)
    workers = [start_worker(table, slot) for slot in range(4)]
    for worker in workers:
        worker.tell("connect", 1500, "192.0.2.1", limits)
    let_in = [worker.answers() for worker in workers]
    assert sum(let_in) == table.connections() == 3000
    assert entries(table) == {0: table.addresses - 1, 3000: 1}
    refused = [worker.ask("refused") for worker in workers]
    assert sum((Counter(counts) for counts in refused), Counter()) == {reason: 3000}


def test_the_rate_has_one_clock(start_worker: StartWorker) -> None:
    table = SharedTable.create(2)
    one, other = start_worker(table, 0), start_worker(table, 1)
    limits = UNLIMITED._replace(rate=2.0, burst=3)
    assert one.ask("connect", 2, "192.0.2.1", limits, 100.0) == 2
    assert other.ask("connect", 2, "192.0.2.1", limits, 100.0) == 1
    assert one.ask("connect", 2, "192.0.2.1", limits, 100.5) == 1
    assert other.ask("connect", 9, "192.0.2.1", limits, 200.0) == 3


def test_a_slot_above_the_number_of_slots_is_an_error() -> None:
    with pytest.raises(IndexError, match="slot 4 of 4"):
        Admission(SharedTable.create(4), 4)


# Workers that are killed


def test_a_dead_worker_is_forgotten(start_worker: StartWorker) -> None:
    table = SharedTable.create(4)
    limits = UNLIMITED._replace(max_sessions=12, max_sessions_per_ip=8)
    one, other = start_worker(table, 0), start_worker(table, 1)
    assert one.ask("connect", 5, "192.0.2.1", limits) == 5
    assert other.ask("connect", 5, "192.0.2.1", limits) == 3
    assert other.ask("connect", 9, "192.0.2.2", limits) == 4
    one.kill()
    table.worker_died(0)
    assert [table.connections_of(slot) for slot in range(4)] == [0, 7, 0, 0]
    assert other.ask("connect", 9, "192.0.2.1", limits) == 5
    heir = start_worker(table, 0)
    assert heir.ask("connect", 9, "192.0.2.1", limits) == 0
    other.ask("end", 5)
    assert heir.ask("connect", 9, "192.0.2.1", limits) == 5


@pytest.mark.parametrize("what", ["set", "connections"])
def test_a_lock_dies_with_its_holder(start_worker: StartWorker, what: str) -> None:
    table = SharedTable.create(2)
    holder, waiting = start_worker(table, 0), start_worker(table, 1)
    number = table.key_of("192.0.2.1")[1] if what == "set" else table.addresses // 64
    holder.ask("lock", number)
    waiting.tell("connect", 1, "192.0.2.1", UNLIMITED)
    deadline = time.monotonic() + SECONDS
    while not waiting.is_waiting():
        assert time.monotonic() < deadline, "no process waits for the lock"
        time.sleep(0.01)
    holder.kill()
    assert waiting.answers() == 1


def test_a_lock_is_not_inherited_by_children(start_worker: StartWorker) -> None:
    """A child does not hold the locks of its parent, and its end unlocks none of them."""
    table = SharedTable.create(2)
    number = table.key_of("192.0.2.1")[1]
    table.lock(number)
    child = start_worker(table, 0)
    child.kill()
    waiting = start_worker(table, 1)
    waiting.tell("connect", 1, "192.0.2.1", UNLIMITED)
    deadline = time.monotonic() + SECONDS
    while not waiting.is_waiting():
        assert time.monotonic() < deadline, "no process waits for the lock"
        time.sleep(0.01)
    table.unlock(number)
    assert waiting.answers() == 1


def test_an_entry_half_written_is_an_idle_address(start_worker: StartWorker) -> None:
    """After its writer was killed it has no connections; 63 others fit next to it, or 64 in all."""
    table = SharedTable.create(2, 64)
    worker = start_worker(table, 0)
    worker.ask("half_write", "192.0.2.1")
    worker.kill()
    table.worker_died(0)
    survivor = start_worker(table, 1)
    for number in range(100, 164):
        assert survivor.ask("connect", 1, f"192.0.2.{number}", UNLIMITED) == 1
    assert survivor.ask("connect", 1, "192.0.2.1", UNLIMITED) == 0
    survivor.ask("end", 1)
    assert survivor.ask("connect", 2, "192.0.2.1", UNLIMITED) == 2
    assert entries(table) == {1: 63, 2: 1}


def test_a_new_address_does_not_inherit_the_debt_of_the_previous(start_worker: StartWorker) -> None:
    """Also if the process that replaces the entry is killed in between."""
    table = SharedTable.create(2, 64)
    limits = UNLIMITED._replace(rate=1.0, burst=2)
    survivor, worker = start_worker(table, 0), start_worker(table, 1)
    for number in range(64):
        assert survivor.ask("connect", 3, f"192.0.2.{number}", limits) == 2
    survivor.ask("end", 128)
    worker.ask("half_write", "198.51.100.1")
    worker.kill()
    table.worker_died(1)
    assert survivor.ask("connect", 3, "198.51.100.1", limits) == 2


@pytest.mark.slow
def test_workers_killed_at_any_moment_leave_no_count(start_worker: StartWorker) -> None:
    """Forty workers, in a crowded table: no connection is left, no address is double, and all is free."""
    table = SharedTable.create(3, 256)
    dice = random.Random(1)
    workers = {}
    for slot in range(3):
        workers[slot] = start_worker(table, slot)
        workers[slot].tell("churn", 400, slot)
    for number in range(40):
        slot = dice.randrange(3)
        time.sleep(dice.random() / 50)
        workers[slot].kill()
        table.worker_died(slot)
        assert table.connections_of(slot) == 0
        workers[slot] = start_worker(table, slot)
        workers[slot].tell("churn", 400, 100 + number)
    for slot, worker in workers.items():
        worker.kill()
        table.worker_died(slot)
    assert table.connections() == 0
    assert entries(table) == {0: 256}
    life = Life(table, 0)
    for number in range(5000):  # the 64 of each set, with any previous content
        life.connect(1, str(number), UNLIMITED, time.monotonic() + 1e9)
    assert entries(table) == {1: 256}
    assert life.refused() == {"too many addresses": 5000 - 256}


# Space and time


def test_untouched_parts_take_no_memory() -> None:
    table = SharedTable.create(128, 1 << 20)
    assert Life(table, 0).connect(1, "192.0.2.1", UNLIMITED) == 1
    assert used(table) <= 16 * 4096


@pytest.mark.slow
def test_six_times_as_many_addresses_as_places_come_and_go(start_worker: StartWorker) -> None:
    """After all of them, the table is as fast as a new one, and not above its size."""
    table = SharedTable.create(128)
    workers = [start_worker(table, slot) for slot in range(2)]
    for network, worker in enumerate(workers, 1):
        worker.tell("pass_through", 200_000, network)
    for worker in workers:
        first, last = worker.answers(100)
        assert last < 4 * first, "it would be hundreds of times if removed addresses were searched"
    assert table.connections() == 0
    assert used(table) <= table.addresses * (24 + 2 * 4) + 16 * 4096


def used(table: SharedTable) -> int:
    """The bytes of memory of the table."""
    return os.stat(f"/proc/self/fd/{table._file}").st_blocks * 512


def test_a_key_is_found_only_at_the_start_of_an_entry() -> None:
    table = SharedTable.create(1, 64)
    first, second = b"a" * 8 + b"b" * 7 + b"\0", b"c" * 8 + b"d" * 7 + b"\x01"
    assert [table.insert(0, key, 0.0) for key in (first, second)] == [0, 1]
    across = first[8:] + second[:8]
    assert table.find(0, across) is None
    assert table.insert(0, across[:15] + b"\x05", 0.0) == 5
    assert table.find(0, across[:15] + b"\x05") == 5


def test_a_table_is_freed_with_its_last_user() -> None:
    gc.collect()
    before = os.listdir("/proc/self/fd")
    admission = Admission(SharedTable.create(1), 0)
    admission.admit(UNLIMITED).charge("192.0.2.1", 0.0)
    assert len(os.listdir("/proc/self/fd")) > len(before)
    del admission
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == len(before)


# -- handed over to another parent ------------------------------------------------------------------


class Former:
    """A parent in a separate process, with connections of its workers; it hands over ``table``."""

    def __init__(self, connections: int, address: str) -> None:
        ours, theirs = socket.socketpair()
        self.alive = True
        self.pid = os.fork()
        if not self.pid:
            try:
                life = Life(SharedTable.create(4, 256), 2)
                life.connect(connections, address, UNLIMITED)
                socket.send_fds(theirs, [b"table"], [life.table.fileno()])
                while ours.close() or theirs.recv(1):
                    life.end(1)
                    theirs.send(b"done")
            finally:
                os._exit(1)
        theirs.close()
        self._channel = ours
        _, [file], _, _ = socket.recv_fds(ours, 5, 1)
        table = SharedTable.handed_over(file)
        assert table is not None
        self.table = table

    def end_one(self) -> None:
        self._channel.send(b"x")
        assert self._channel.recv(4) == b"done"

    def kill(self) -> None:
        if self.alive:
            self.alive = False
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._channel.close()


@pytest.fixture
def former() -> Iterator[Former]:
    former = Former(3, "192.0.2.1")
    yield former
    former.kill()


def test_limits_hold_over_two_generations(former: Former) -> None:
    admission = Admission(SharedTable.create(2), 0, [former.table])
    limits = ConnectionLimits(5, 4, math.inf, 1)
    tickets = [admission.admit(limits), admission.admit(limits)]
    tickets[0].charge("192.0.2.1", 0.0)
    with pytest.raises(HandshakeRefused, match="too many sessions from your address"):
        tickets[1].charge("192.0.2.1", 0.0)
    tickets[1].charge("192.0.2.2", 0.0)
    with pytest.raises(HandshakeRefused, match=r"too many sessions$"):
        admission.admit(limits)
    former.end_one()
    admission.admit(limits).charge("192.0.2.1", 0.0)
    assert admission.connections == 5


def test_a_rate_holds_over_two_generations() -> None:
    former = Former(0, "")
    rate = ConnectionLimits(9, 9, 1.0, 1)
    Admission(former.table, 0).admit(rate).charge("192.0.2.1", 100.0)
    admission = Admission(SharedTable.create(2), 0, [former.table])
    with pytest.raises(HandshakeRefused, match="too many connections from your address"):
        admission.admit(rate).charge("192.0.2.1", 100.5)
    admission.admit(rate).charge("192.0.2.1", 101.5)
    former.kill()


def test_the_connections_of_a_killed_parent_do_not_count(former: Former) -> None:
    """No process would ever remove the connections of its workers."""
    admission = Admission(SharedTable.create(2), 0, [former.table])
    limits = ConnectionLimits(3, 3, math.inf, 1)
    assert former.table.is_counted
    with pytest.raises(HandshakeRefused, match=r"too many sessions$"):
        admission.admit(limits)
    former.kill()
    assert not former.table.is_counted
    assert admission.connections == 0
    for _ in range(3):
        admission.admit(limits).charge("192.0.2.1", 0.0)


@pytest.mark.parametrize("content", [b"", b"wsgw", b"wsgw\0\0\0\2" + bytes(9000), "other size"])
def test_a_table_of_another_layout_is_not_taken_over(content: bytes | str) -> None:
    """Such as that of another release: the counts begin again."""
    table = SharedTable.create(2, 64)
    file = os.memfd_create("other")
    size = os.fstat(table.fileno()).st_size
    os.write(file, os.pread(table.fileno(), size, 0) + b"x" if isinstance(content, str) else content)
    assert SharedTable.handed_over(file) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)
