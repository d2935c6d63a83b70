"""Caps on connections, in all and per address, without a socket."""

from __future__ import annotations

import math
import sys

import pytest

from wsgw.admission import Admission, Caps, accountable_address
from wsgw.errors import HandshakeRefused

CAPS = Caps(max_sessions=3, max_sessions_per_ip=2, rate=1.0, burst=100)


def test_the_gateway_is_full_until_a_ticket_comes_back() -> None:
    admission = Admission()
    tickets = [admission.admit(CAPS) for _ in range(3)]
    with pytest.raises(HandshakeRefused, match=r"503 Service Unavailable: too many sessions$") as refused:
        admission.admit(CAPS)
    assert refused.value.headers == (("Retry-After", "30"),)
    tickets[0].release()
    admission.admit(CAPS)
    assert admission.connections == 3


def test_an_address_has_its_share() -> None:
    admission = Admission()
    caps = CAPS._replace(max_sessions=100)
    tickets = [admission.admit(caps) for _ in range(4)]
    tickets[0].charge("192.0.2.1", 0.0)
    tickets[1].charge("192.0.2.1", 0.0)
    with pytest.raises(HandshakeRefused, match="too many sessions from your address"):
        tickets[2].charge("192.0.2.1", 0.0)
    tickets[3].charge("192.0.2.2", 0.0)
    tickets[0].release()
    tickets[2].charge("192.0.2.1", 0.0)
    assert admission.by_address == {"192.0.2.1": 2, "192.0.2.2": 1}


def test_a_ticket_is_charged_and_given_back_once() -> None:
    admission = Admission()
    ticket = admission.admit(CAPS)
    ticket.charge("192.0.2.1", 0.0)
    ticket.charge("192.0.2.9", 0.0)
    assert admission.by_address == {"192.0.2.1": 1}
    ticket.release()
    ticket.release()
    assert (admission.connections, admission.by_address) == (0, {})


def test_the_rate_of_an_address() -> None:
    admission = Admission()
    caps = Caps(sys.maxsize, sys.maxsize, 1.0, 2)
    for _ in range(2):
        admission.admit(caps).charge("192.0.2.1", 0.0)
    with pytest.raises(HandshakeRefused, match="too many connections from your address"):
        admission.admit(caps).charge("192.0.2.1", 0.5)
    admission.admit(caps).charge("192.0.2.1", 1.0)
    assert admission.refused == {"too many connections from your address": 1}


def test_without_limits() -> None:
    admission = Admission()
    caps = Caps(sys.maxsize, sys.maxsize, math.inf, 1)
    for _ in range(1000):
        admission.admit(caps).charge("192.0.2.1", 0.0)
    assert admission.connections == 1000


@pytest.mark.parametrize(
    ("address", "accountable"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_accountable_address(address: str, accountable: str) -> None:
    assert accountable_address(address) == accountable
