"""Limits of connections, in all and for each address, in one process; ``test_table`` has several."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import random
import sys
from collections import Counter, defaultdict

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from wsgw.capacity.admission import Admission, ConnectionLimits, Ticket, accountable_address, take_token
from wsgw.capacity.table import ADDRESSES, MAX_ADDRESSES, SharedTable, addresses_for
from wsgw.errors import HandshakeRefused

LIMITS = ConnectionLimits(max_sessions=3, max_sessions_per_ip=2, rate=1.0, burst=100)
UNLIMITED = ConnectionLimits(sys.maxsize, sys.maxsize, math.inf, 1)


@pytest.fixture
def admission() -> Admission:
    return Admission(SharedTable.create(1), 0)


def connections_from(table: SharedTable, address: str) -> int:
    """The connections charged to the address or network of ``address``."""
    key, number = table.key_of(accountable_address(address))
    entry = table.find(number, key)
    return 0 if entry is None else table.connections_from(entry)


def test_the_gateway_is_full_until_a_ticket_comes_back(admission: Admission) -> None:
    tickets = [admission.admit(LIMITS) for _ in range(3)]
    with pytest.raises(HandshakeRefused, match=r"503 Service Unavailable: too many sessions$") as refused:
        admission.admit(LIMITS)
    assert refused.value.headers == (("Retry-After", "30"),)
    tickets[0].release()
    admission.admit(LIMITS)
    assert admission.connections == 3


def test_an_address_has_its_limit(admission: Admission) -> None:
    limits = LIMITS._replace(max_sessions=100)
    tickets = [admission.admit(limits) for _ in range(4)]
    tickets[0].charge("192.0.2.1", 0.0)
    tickets[1].charge("192.0.2.1", 0.0)
    with pytest.raises(HandshakeRefused, match="too many sessions from your address"):
        tickets[2].charge("192.0.2.1", 0.0)
    tickets[3].charge("192.0.2.2", 0.0)
    tickets[0].release()
    tickets[2].charge("192.0.2.1", 0.0)
    assert connections_from(admission.table, "192.0.2.1") == 2
    assert connections_from(admission.table, "192.0.2.2") == 1


def test_a_ticket_is_charged_and_returned_once(admission: Admission) -> None:
    ticket = admission.admit(LIMITS)
    ticket.charge("192.0.2.1", 0.0)
    ticket.charge("192.0.2.9", 0.0)
    assert connections_from(admission.table, "192.0.2.1") == 1
    assert connections_from(admission.table, "192.0.2.9") == 0
    ticket.release()
    ticket.release()
    assert admission.connections == 0
    assert connections_from(admission.table, "192.0.2.1") == 0


def test_the_rate_of_an_address_is_limited(admission: Admission) -> None:
    limits = ConnectionLimits(sys.maxsize, sys.maxsize, 1.0, 2)
    for _ in range(2):
        admission.admit(limits).charge("192.0.2.1", 0.0)
    with pytest.raises(HandshakeRefused, match="too many connections from your address"):
        admission.admit(limits).charge("192.0.2.1", 0.5)
    admission.admit(limits).charge("192.0.2.1", 1.0)
    assert admission.refused == {"too many connections from your address": 1}


def test_without_limits_every_connection_is_admitted(admission: Admission) -> None:
    for _ in range(1000):
        admission.admit(UNLIMITED).charge("192.0.2.1", 0.0)
    assert admission.connections == 1000


def test_a_bucket_fills_at_its_rate() -> None:
    full_at = 0.0
    taken = []
    for now in (10.0, 10.0, 10.0, 10.0, 10.5, 10.5, 100.0):
        after = take_token(full_at, 2.0, 3, now)
        taken.append(after is not None)
        full_at = full_at if after is None else after
    assert taken == [True, True, True, False, True, False, True]


def test_a_bucket_without_limit_takes_every_connection() -> None:
    assert take_token(50.0, math.inf, 1, 1.0) == 50.0, "its debt to other listeners stays"


# A full table


def test_an_address_above_the_size_of_the_table_waits_for_a_place() -> None:
    admission = Admission(SharedTable.create(1, 64), 0)
    tickets = [admission.admit(UNLIMITED) for _ in range(65)]
    for number, ticket in enumerate(tickets[:64]):
        ticket.charge(f"192.0.2.{number}", 0.0)
    with pytest.raises(HandshakeRefused, match=r"503 Service Unavailable: too many addresses$"):
        tickets[64].charge("198.51.100.1", 0.0)
    admission.admit(UNLIMITED).charge("192.0.2.7", 0.0)
    tickets[9].release()
    tickets[64].charge("198.51.100.1", 0.0)
    assert connections_from(admission.table, "198.51.100.1") == 1


def test_the_address_with_the_largest_debt_is_forgotten_last() -> None:
    admission = Admission(SharedTable.create(1, 64), 0)
    limits = ConnectionLimits(sys.maxsize, sys.maxsize, 1.0, 3)

    def come_and_go(address: str, now: float) -> None:
        ticket = admission.admit(limits)
        try:
            ticket.charge(address, now)
        finally:
            ticket.release()

    for _ in range(3):
        come_and_go("offender", 0.0)
    for number in range(10_000):
        come_and_go(str(number), number / 10_000)
    with pytest.raises(HandshakeRefused, match="too many connections from your address"):
        come_and_go("offender", 0.9)


@pytest.mark.parametrize("seed", range(4))
def test_no_connection_is_lost_in_a_crowded_table(seed: int) -> None:
    """64 places, 90 addresses: exactly the new addresses are refused while each place has a connection."""
    dice = random.Random(seed)
    admission = Admission(SharedTable.create(1, 64), 0)
    tickets: dict[str, list[Ticket]] = defaultdict(list)
    outcomes = Counter[bool]()
    for _ in range(5000):
        address = f"192.0.2.{dice.randrange(90)}"
        if tickets[address] and dice.random() < 0.45:
            tickets[address].pop().release()
            continue
        live = [each for each, held in tickets.items() if held]
        room = address in live or len(live) < 64
        ticket = admission.admit(UNLIMITED)
        try:
            ticket.charge(address, 0.0)
        except HandshakeRefused:
            ticket.release()
            assert not room
        else:
            tickets[address].append(ticket)
            assert room
        outcomes[room] += 1
    assert min(outcomes[True], outcomes[False]) > 20
    for address, held in tickets.items():
        assert connections_from(admission.table, address) == len(held)


@pytest.mark.parametrize(
    ("connections", "addresses"),
    [(1, ADDRESSES), (ADDRESSES, 2 * ADDRESSES), (500_000, 1 << 20), (10**9, MAX_ADDRESSES)],
)
def test_the_size_of_the_table_follows_the_limit_of_connections(connections: int, addresses: int) -> None:
    assert SharedTable.create(1, addresses_for(connections)).addresses == addresses


# The table against a dict


class TableAgainstDict(RuleBasedStateMachine):
    """Three workers of one gateway, and a dict as model; never more addresses than the table has places."""

    SLOTS = 3
    LIMITS = ConnectionLimits(max_sessions=12, max_sessions_per_ip=4, rate=2.0, burst=5)
    ADDRESSES = ("", *(f"192.0.2.{number}" for number in range(4)), *(f"2001:db8::{n}" for n in range(3)))

    def __init__(self) -> None:
        super().__init__()
        self.table = SharedTable.create(self.SLOTS, 128)
        self.workers = [Admission(self.table, slot) for slot in range(self.SLOTS)]
        self.tickets: list[list[tuple[Ticket, str]]] = [[] for _ in range(self.SLOTS)]
        self.full_at: dict[str, float] = {}
        self.now = 1000.0

    def count(self, address: str) -> int:
        return sum(held == address for tickets in self.tickets for _, held in tickets)

    def verdict(self, address: str) -> str:
        """The dict's answer to another connection, which is charged to the bucket."""
        if sum(map(len, self.tickets)) >= self.LIMITS.max_sessions:
            return "too many sessions"
        if self.count(address) >= self.LIMITS.max_sessions_per_ip:
            return "too many sessions from your address"
        full_at = max(self.full_at.get(address, 0.0), self.now) + 1 / self.LIMITS.rate
        if full_at - self.now > self.LIMITS.burst / self.LIMITS.rate:
            return "too many connections from your address"
        self.full_at[address] = full_at
        return ""

    @rule(slot=st.integers(0, SLOTS - 1), address=st.sampled_from(ADDRESSES))
    def connect(self, slot: int, address: str) -> None:
        counted = accountable_address(address)
        verdict = self.verdict(counted)
        worker = self.workers[slot]
        refused = worker.refused.copy()
        with contextlib.ExitStack() as undo:
            if verdict:
                undo.enter_context(pytest.raises(HandshakeRefused, match=f"{verdict}$"))
            ticket = worker.admit(self.LIMITS)
            undo.callback(ticket.release)
            ticket.charge(address, self.now)
            undo.pop_all()
            self.tickets[slot].append((ticket, counted))
        assert worker.refused - refused == Counter({verdict: 1} if verdict else {})

    @rule(slot=st.integers(0, SLOTS - 1), which=st.integers(0, 100))
    def end(self, slot: int, which: int) -> None:
        if self.tickets[slot]:
            self.tickets[slot].pop(which % len(self.tickets[slot]))[0].release()

    @rule(seconds=st.sampled_from([0.25, 0.5, 2.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(slot=st.integers(0, SLOTS - 1))
    def die(self, slot: int) -> None:
        self.table.worker_died(slot)
        self.tickets[slot].clear()
        self.workers[slot] = Admission(self.table, slot)

    @invariant()
    def counts_agree(self) -> None:
        assert self.table.connections() == sum(map(len, self.tickets))
        for slot in range(self.SLOTS):
            assert self.table.connections_of(slot) == len(self.tickets[slot])
        for address in self.ADDRESSES:
            assert connections_from(self.table, address) == self.count(accountable_address(address))


TestTableAgainstDict = TableAgainstDict.TestCase
TestTableAgainstDict.settings = settings(max_examples=60, stateful_step_count=50)


# Addresses


@pytest.mark.parametrize(
    ("address", "accountable"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("::192.0.2.1", "::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("fe80::1%", "fe80::/64"),
        ("", ""),
        ("192.0.2.01", "192.0.2.01"),
        ("192.0.2", "192.0.2"),
        ("192.0.2.1\0", "192.0.2.1\0"),
        ("2001:db8::\0", "2001:db8::\0"),
        ("::\udc80", "::\udc80"),
        ("[2001:db8::1]", "[2001:db8::1]"),
    ],
    ids=ascii,
)
def test_an_address_counts_for_its_key(address: str, accountable: str) -> None:
    assert accountable_address(address) == accountable


def by_the_library(text: str) -> str:
    """The key of an address by ``ipaddress``; slower, and it refuses an empty zone."""
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if isinstance(parsed, ipaddress.IPv4Address):
        return text
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))


@given(st.ip_addresses() | st.ip_addresses(network="::ffff:0:0/96") | st.ip_addresses(network="::/32"))
@example(ipaddress.ip_address("2001:db8:0:1::"))
@example(ipaddress.ip_address("0:0:1::"))
@example(ipaddress.ip_address("::1:0:0:0:0:0"))
def test_addresses_have_the_same_key_by_the_library(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    for text in (str(address), address.exploded):
        assert accountable_address(text) == by_the_library(text)


@given(st.text(alphabet="0123456789abcdef:.%[]/ \u0663\0", max_size=20))
def test_any_address_text_has_the_same_key_by_the_library(text: str) -> None:
    assert accountable_address(text) == by_the_library(text)


def test_any_text_has_a_key() -> None:
    """Text with lone surrogates only must have one: no address of a peer contains them."""
    table = SharedTable.create(1, 64)
    assert table.key_of("\udc80") == table.key_of("\udc80") != table.key_of("é")
