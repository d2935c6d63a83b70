"""Finds the client's address behind proxies, from ``X-Forwarded-For`` or ``Forwarded`` (RFC 7239).

The chain of hops is the header's entries, followed by the peer of the socket. It is walked from the right
while hops are trusted proxies; the first hop that is not trusted is the client. Erlang twin: the address
handling of ``websocket_xmpp``, which trusted the leftmost entry and crashed on a malformed one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


#: How a client's address was found; the labels of a counter. It is the peer of the socket, or the client of
#: the PROXY header.
PEER: Final = "peer"
#: A trusted proxy has named it.
FORWARDED: Final = "forwarded"
#: The peer names a client but is not trusted, so the peer counts as the client.
UNTRUSTED: Final = "untrusted"
#: The peer is a proxy by its address and names no client, so the proxy counts as the client.
MISSING: Final = "missing"
SOURCES: Final = (PEER, FORWARDED, UNTRUSTED, MISSING)


class FoundAddress(NamedTuple):
    """A client's address as text, and how it was found: one of ``SOURCES``."""

    address: str
    source: str


class _Hop(NamedTuple):
    """An address of the chain. Its text and whether it is loopback are computed once for each address."""

    ip: IPAddress
    text: str
    is_loopback: bool


class TrustedProxies:
    """The trusted proxies: loopback, addresses in ``networks``, and with ``trust_all`` all addresses."""

    def __init__(self, networks: Iterable[IPNetwork] = (), *, trust_all: bool = False) -> None:
        self._networks = tuple(networks)
        self._trust_all = trust_all

    def __contains__(self, hop: _Hop) -> bool:
        return self._trust_all or self._is_listed(hop)

    def may_report(self, peer: str) -> bool:
        """Whether the headers of a request from ``peer`` count; a Unix socket's peer has no address."""
        hop = _parse(peer)
        return hop is None or hop in self

    def is_proxy(self, address: str) -> bool:
        """Whether ``address`` is loopback, in one of the networks, or no IP address (of a Unix socket)."""
        hop = _parse(address)
        return hop is None or self._is_listed(hop)

    def _is_listed(self, hop: _Hop) -> bool:
        return hop.is_loopback or any(hop.ip in network for network in self._networks)


def client_address(peer: str, headers: Sequence[tuple[str, str]], trusted: TrustedProxies) -> FoundAddress:
    """Return the client's address.

    ``peer`` is the address of the socket's peer. If it is no IP address, the peer uses a Unix socket, and is
    trusted. ``headers`` holds (name, value) in order. A malformed entry ends the walk at the hop that
    reported it. If every hop is trusted, the leftmost is the client.
    """
    first = hop = _parse(peer)
    entries = _entries(headers)
    for entry in reversed(entries):
        if hop is not None and hop not in trusted:
            break
        before = _parse(entry)
        if before is None:
            break
        hop = before
    address = peer if hop is None else hop.text
    if hop is not first:
        return FoundAddress(address, FORWARDED)
    if entries and not trusted.may_report(peer):
        return FoundAddress(address, UNTRUSTED)
    return FoundAddress(address, MISSING if trusted.is_proxy(peer) else PEER)


def _entries(headers: Sequence[tuple[str, str]]) -> list[str]:
    """Return the entries of ``X-Forwarded-For``; without that header, those of ``for=`` in ``Forwarded``.

    The two are never combined: most proxies write the first and forward a client's own ``Forwarded``.
    """
    found: dict[str, list[str]] = {"x-forwarded-for": [], "forwarded": []}
    for name, value in headers:
        lowered = name.lower()
        if lowered in found:
            found[lowered] += value.split(",")
    return found["x-forwarded-for"] or list(map(_for_parameter, found["forwarded"]))


def _for_parameter(element: str) -> str:
    for pair in element.split(";"):
        name, _, value = pair.strip().partition("=")
        if name.lower() == "for":
            return value.strip().strip('"')
    return ""


@lru_cache(maxsize=1024)
def _parse(entry: str) -> _Hop | None:
    """Parse an address with or without brackets and port; IPv4 mapped into IPv6 becomes IPv4.

    A zone (``%eth0``) is dropped: it has no meaning on another host, and may contain any text.
    """
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return _Hop(address, str(address), address.is_loopback)
