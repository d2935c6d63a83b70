"""The client's address: the chain of hops is read from the right, over trusted hops only."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.opening.client_address import (
    FORWARDED,
    MISSING,
    PEER,
    UNTRUSTED,
    TrustedProxies,
    client_address,
)

NOBODY = TrustedProxies()
EVERYBODY = TrustedProxies(trust_all=True)
OURS = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("192.0.2.7"), ip_network("2001:db8::/32")])

CLIENT = "198.51.100.1"
SPOOFED = "203.0.113.9"


def xff(*values: str) -> list[tuple[str, str]]:
    return [("x-forwarded-for", value) for value in values]


def forwarded(*values: str) -> list[tuple[str, str]]:
    return [("forwarded", value) for value in values]


CASES = {
    "no header": (CLIENT, [], OURS, CLIENT),
    "a peer not trusted is the client, whatever it says": (CLIENT, xff(SPOOFED), OURS, CLIENT),
    "loopback is always trusted": ("127.0.0.1", xff(CLIENT), NOBODY, CLIENT),
    "all of 127/8": ("127.8.9.10", xff(CLIENT), NOBODY, CLIENT),
    "and ::1": ("::1", xff(CLIENT), NOBODY, CLIENT),
    "and 127.0.0.1 mapped into IPv6": ("::ffff:127.0.0.1", xff(CLIENT), NOBODY, CLIENT),
    "a trusted network": ("10.1.2.3", xff(CLIENT), OURS, CLIENT),
    "a trusted network, the peer mapped into IPv6": ("::ffff:10.1.2.3", xff(CLIENT), OURS, CLIENT),
    "a trusted single address": ("192.0.2.7", xff(CLIENT), OURS, CLIENT),
    "its neighbour is not": ("192.0.2.8", xff(SPOOFED), OURS, "192.0.2.8"),
    "a trusted IPv6 network": ("2001:db8::5", xff("2001:db9::1"), OURS, "2001:db9::1"),
    "what the client wrote itself is left of its own address": (
        "10.0.0.1", xff(f"{SPOOFED}, {CLIENT}"), OURS, CLIENT,
    ),
    "two trusted hops": ("10.0.0.1", xff(f"{SPOOFED}, {CLIENT}, 10.9.9.9"), OURS, CLIENT),
    "header lines count as one list, in order": ("10.0.0.1", xff(SPOOFED, CLIENT, "10.9.9.9"), OURS, CLIENT),
    "all hops trusted: the leftmost": ("127.0.0.1", xff("10.0.0.9, 10.0.0.8"), OURS, "10.0.0.9"),
    "'all': always the leftmost": (CLIENT, xff(f"{SPOOFED}, 192.0.2.1"), EVERYBODY, SPOOFED),
    "a malformed entry stops the walk at the hop before it": (
        "10.0.0.1", xff(f"{CLIENT}, rubbish, 10.0.0.2"), OURS, "10.0.0.2",
    ),
    "malformed next to the peer": ("10.0.0.1", xff(f"{CLIENT}, unknown"), OURS, "10.0.0.1"),
    "malformed under 'all'": (CLIENT, xff(f"{SPOOFED}, x, 192.0.2.1"), EVERYBODY, "192.0.2.1"),
    "an empty entry is malformed": ("10.0.0.1", xff(f"{CLIENT}, , 10.0.0.2"), OURS, "10.0.0.2"),
    "an empty header": ("10.0.0.1", xff(""), OURS, "10.0.0.1"),
    "no spaces": ("10.0.0.1", xff(f"{SPOOFED},{CLIENT},10.0.0.2"), OURS, CLIENT),
    "an address with a port (Azure)": ("10.0.0.1", xff(f"{CLIENT}:4711"), OURS, CLIENT),
    "IPv6 in brackets": ("10.0.0.1", xff("[2001:db9::1]"), OURS, "2001:db9::1"),
    "IPv6 in brackets with a port": ("10.0.0.1", xff("[2001:db9::1]:4711"), OURS, "2001:db9::1"),
    "IPv6 in its short form": ("10.0.0.1", xff("2001:DB9:0:0::1"), OURS, "2001:db9::1"),
    "an IPv4 client mapped into IPv6": ("10.0.0.1", xff(f"::ffff:{CLIENT}"), OURS, CLIENT),
    "octets with leading zeros are malformed": ("10.0.0.1", xff("198.051.100.1"), OURS, "10.0.0.1"),
    "a zone is dropped": ("fe80::1%eth0", [], OURS, "fe80::1"),
    "no text hides in a zone": ("10.0.0.1", xff("fe80::1%\x1b[31m 1"), OURS, "fe80::1"),
    "a Unix socket is trusted": ("", xff(CLIENT), NOBODY, CLIENT),
    "a Unix socket's chain is walked as any other": (
        "", xff(f"{SPOOFED}, {CLIENT}, 10.0.0.1"), OURS, CLIENT,
    ),
    "a Unix socket without a header": ("", [], NOBODY, ""),
    "a Unix socket and a malformed entry": ("", xff("rubbish"), NOBODY, ""),
    "Forwarded (RFC 7239 section 4)": ("10.0.0.1", forwarded(f"for={CLIENT}"), OURS, CLIENT),
    "its other parameters": (
        "10.0.0.1", forwarded(f"proto=https; For={CLIENT} ;by=10.0.0.1;host=x"), OURS, CLIENT,
    ),
    "its IPv6 form (section 6)": ("10.0.0.1", forwarded('for="[2001:db9::1]:4711"'), OURS, "2001:db9::1"),
    "its quoted port": ("10.0.0.1", forwarded(f'for="{CLIENT}:4711"'), OURS, CLIENT),
    "its lists": ("10.0.0.1", forwarded(f"for={SPOOFED}, for={CLIENT}", "for=10.0.0.2"), OURS, CLIENT),
    "its obfuscated identifiers (section 6.3) stop the walk": (
        "10.0.0.1", forwarded(f"for={CLIENT}, for=_hidden, for=10.0.0.2"), OURS, "10.0.0.2",
    ),
    "an element without for stops it too": (
        "10.0.0.1", forwarded(f"for={CLIENT}, proto=https"), OURS, "10.0.0.1",
    ),
    "a quote left open by the client hides nothing of the proxy's": (
        "10.0.0.1", forwarded(f'for="{SPOOFED}, for={CLIENT}'), OURS, CLIENT,
    ),
    "X-Forwarded-For goes before Forwarded": (
        "10.0.0.1", [*forwarded(f"for={SPOOFED}"), *xff(CLIENT)], OURS, CLIENT,
    ),
    "other headers are nothing": ("10.0.0.1", [("x-real-ip", SPOOFED)], OURS, "10.0.0.1"),
}  # fmt: skip


@pytest.mark.rule("fault-02", "fault-03", "7239")
@pytest.mark.parametrize(("peer", "headers", "trusted", "client"), CASES.values(), ids=CASES)
def test_the_client_is_the_first_untrusted_hop_from_the_right(
    peer: str, headers: list[tuple[str, str]], trusted: TrustedProxies, client: str
) -> None:
    assert client_address(peer, headers, trusted).address == client


@pytest.mark.parametrize(
    ("peer", "headers", "trusted", "source"),
    [
        (CLIENT, [], OURS, PEER),
        (CLIENT, [], EVERYBODY, PEER),
        ("10.0.0.1", xff(CLIENT), OURS, FORWARDED),
        ("", xff(CLIENT), NOBODY, FORWARDED),
        (CLIENT, forwarded(f"for={SPOOFED}"), EVERYBODY, FORWARDED),
        ("10.0.0.1", xff(CLIENT), NOBODY, UNTRUSTED),
        ("10.0.0.1", forwarded("for=unknown"), NOBODY, UNTRUSTED),
        ("10.0.0.1", [], OURS, MISSING),
        ("::1", [], NOBODY, MISSING),
        ("", [], NOBODY, MISSING),
        ("127.0.0.1", xff("rubbish"), NOBODY, MISSING),
    ],
)
def test_the_source_of_the_address(
    peer: str, headers: list[tuple[str, str]], trusted: TrustedProxies, source: str
) -> None:
    assert client_address(peer, headers, trusted).source == source


@pytest.mark.parametrize(
    ("address", "proxy"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", True),
        ("2001:db8::1", True),
        ("", True),
        (CLIENT, False),
        ("2001:db9::1", False),
        ("0.0.0.0", False),
    ],
)
def test_a_trusted_address_is_a_proxy(address: str, proxy: bool) -> None:
    assert OURS.is_proxy(address) is proxy


def test_trusting_all_makes_no_client_a_proxy() -> None:
    """``all`` trusts every header; it must not remove the limits of every client."""
    assert not EVERYBODY.is_proxy(CLIENT)
    assert EVERYBODY.is_proxy("127.0.0.1")


_entries = st.one_of(
    st.ip_addresses().map(str),
    st.sampled_from(
        ["10.0.0.1", "127.0.0.1", "unknown", "", "[::1]", "[", '"', "a:b", "%", "::%", "1.2.3.4:x"]
    ),
    st.text(st.characters(max_codepoint=255), max_size=12),
)


@given(st.ip_addresses().map(str), st.lists(_entries, max_size=5), st.sampled_from([xff, forwarded]))
def test_any_header_gives_an_address(
    peer: str, entries: list[str], header: Callable[[str], list[tuple[str, str]]]
) -> None:
    headers = header(",".join(f"for={entry}" if header is forwarded else entry for entry in entries))
    for trusted in (NOBODY, OURS, EVERYBODY):
        client = client_address(peer, headers, trusted).address
        assert str(ip_address(client)) == client
        assert client_address(client, [], trusted).address == client
