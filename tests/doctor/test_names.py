"""DNS: each answer of a server."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.support.name_server import NameServer
from wsgw.config.source import Source
from wsgw.doctor import names
from wsgw.doctor.domains import check
from wsgw.doctor.finding import Verdict
from wsgw.doctor.inquiry import Inquiry
from wsgw.doctor.names import LookupFailed, Target, addresses_of, alias_of, services_of
from wsgw.doctor.reach import at_most

Server = tuple[str, int]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = NameServer(
        {
            "both.example A": ["192.0.2.1", "192.0.2.2"],
            "both.example AAAA": ["2001:db8::1"],
            "text.example TXT": ['"no address"'],
            "alias.example CNAME": ["both.example."],
            "_xmpp-client._tcp.both.example SRV": ["5 0 5222 both.example."],
            "_xmpps-client._tcp.both.example SRV": ["0 0 0 ."],
            "_xmpp-client._tcp.local.example SRV": ["0 0 5222 127.0.0.1."],
            "local.example A": ["127.0.0.1"],
        }
    )
    running.start()
    yield ("127.0.0.1", running.port)
    running.close()


def test_the_addresses_of_a_name(server: Server) -> None:
    first, *others = addresses_of("both.example", server)
    assert (first, sorted(others)) == ("2001:db8::1", ["192.0.2.1", "192.0.2.2"])
    assert set(addresses_of("alias.example", server)) == {first, *others}
    assert alias_of("alias.example", server) == "both.example"
    assert alias_of("both.example", server) == ""
    assert addresses_of("2001:db8::5", server) == ("2001:db8::5",)
    assert addresses_of("localhost", server) == ("127.0.0.1", "::1")


def test_a_deadline_ends_the_wait_for_a_silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_LIFETIME", 2.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(TimeoutError), at_most(0.1):
            addresses_of("silent.example", silent.getsockname())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone.example", "NXDOMAIN"),
        ("text.example", "neither an A nor an AAAA record"),
        ("a..example", "no name that DNS can have"),
        (f"{'a' * 64}.example", "no name that DNS can have"),
    ],
)
def test_a_name_without_addresses(server: Server, name: str, words: str) -> None:
    with pytest.raises(LookupFailed, match=words) as caught:
        addresses_of(name, server)
    assert not caught.value.is_server
    assert name in caught.value.fix


def test_a_server_that_is_not_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "_LIFETIME", 0.2)
    with pytest.raises(LookupFailed, match=r"DNS gives no answer|does not answer") as caught:
        addresses_of("both.example", ("127.0.0.1", 1))
    assert caught.value.is_server


def test_the_services_of_a_domain(server: Server) -> None:
    assert services_of("both.example", server) == {
        "_xmpp-client._tcp.both.example": [Target("both.example", 5222)],
        "_xmpps-client._tcp.both.example": [Target(".", 0)],
    }
    assert services_of("gone.example", server) == {}


def test_an_address_as_the_target_of_a_service_is_a_fault(server: Server) -> None:
    found = list(check(Inquiry(("local.example",), Source(), resolver=server)))
    (fault,) = (finding for finding in found if finding.check == "dns.srv")
    assert (fault.verdict, fault.what) == (Verdict.FAILED, "its target 127.0.0.1 is an address")


def test_a_local_name_is_skipped() -> None:
    (finding,) = check(Inquiry(("localhost",), Source()))
    assert finding.verdict is Verdict.SKIPPED
