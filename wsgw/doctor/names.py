"""DNS as clients see it: the addresses of a name, and the SRV records of a domain."""

from __future__ import annotations

from functools import cache
from ipaddress import ip_address
from typing import NamedTuple

import dns.exception
import dns.name
import dns.resolver
import gevent

#: The services of an XMPP domain for clients without WebSocket (RFC 6120 section 3.2.1, XEP-0368).
SERVICES = ("_xmpp-client", "_xmpps-client")
#: Seconds for one query, all DNS servers of the system together.
_LIFETIME = 5.0
Server = tuple[str, int] | None


class LookupFailed(Exception):
    """DNS has no address for a name: ``what`` says why, ``fix`` what to do. ``is_server``: no answer came."""

    def __init__(self, what: str, fix: str, *, is_server: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.is_server = is_server


class Target(NamedTuple):
    """The target of an SRV record; the host ``.`` means that the domain has no such service."""

    host: str
    port: int


def is_local(name: str) -> bool:
    """Whether ``name`` means this machine to each machine (RFC 6761 section 6.3)."""
    return name == "localhost" or name.endswith(".localhost")


def is_address(name: str) -> bool:
    """Whether ``name`` is an IP address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def addresses_of(name: str, server: Server) -> tuple[str, ...]:
    """The addresses of a host name, IPv6 first as browsers try them; an IP address is its own.

    ``server``: the address and port of the DNS server, None for those of the system. Raises LookupFailed.
    """
    if is_address(name):
        return (name,)
    if is_local(name):
        return ("127.0.0.1", "::1")
    found = [record.to_text() for kind in ("AAAA", "A") for record in _ask(name, kind, server) or ()]
    if not found:
        raise LookupFailed("has neither an A nor an AAAA record in DNS", f"add one of them for {name}")
    return tuple(found)


def services_of(domain: str, server: Server) -> dict[str, list[Target]]:
    """The targets of the SRV records of each of ``SERVICES``, by the name of the record.

    Raises LookupFailed if DNS does not answer; a name without records has none.
    """
    found: dict[str, list[Target]] = {}
    for service in SERVICES:
        name = f"{service}._tcp.{domain}"
        try:
            records = _ask(name, "SRV", server) or ()
        except LookupFailed as failure:
            if failure.is_server:
                raise
            records = ()
        if records:
            found[name] = [Target(one.target.to_text(omit_final_dot=True), one.port) for one in records]
    return found


def alias_of(name: str, server: Server) -> str:
    """The name that the CNAME record of ``name`` gives; empty without one. Raises LookupFailed."""
    records = _ask(name, "CNAME", server) or ()
    return next((one.target.to_text(omit_final_dot=True) for one in records), "")


def _ask(name: str, kind: str, server: Server) -> dns.resolver.Answer | None:
    """The records of a name, None if it has none of this kind. Raises LookupFailed."""
    try:
        dns.name.from_text(name)
    except dns.exception.DNSException:
        raise LookupFailed("is no name that DNS can have", f"correct the name {name}") from None
    # In a native thread: dnspython blocks, and no timeout of a check would count meanwhile.
    found = gevent.get_hub().threadpool.apply(_resolve, (name, kind, server))
    if isinstance(found, LookupFailed):
        raise found
    return found


def _resolve(name: str, kind: str, server: Server) -> dns.resolver.Answer | LookupFailed | None:
    """The records, None without any of this kind, or why there is no answer. It raises nothing.

    gevent would print the traceback of an exception in a thread.
    """
    try:
        return _resolver(server).resolve(name, kind, lifetime=_LIFETIME, search=False)
    except dns.resolver.NoAnswer:
        return None
    except dns.resolver.NXDOMAIN:
        fix = f"add an A or AAAA record for {name}, or correct the name"
        return LookupFailed("does not exist in DNS (NXDOMAIN)", fix)
    except dns.resolver.NoNameservers:
        fix = "correct the zone or the delegation of the domain: a DNS server refuses it or fails (SERVFAIL)"
        return LookupFailed("DNS gives no answer", fix, is_server=True)
    except dns.exception.DNSException:
        fix = "correct /etc/resolv.conf, or name a DNS server with --resolver"
        return LookupFailed("the DNS server does not answer", fix, is_server=True)


@cache
def _resolver(server: Server) -> dns.resolver.Resolver:
    """A resolver with a cache: the checks ask for the same names."""
    resolver = dns.resolver.Resolver(configure=server is None)
    if server is not None:
        resolver.nameservers, resolver.port = [server[0]], server[1]
    resolver.cache = dns.resolver.LRUCache()
    return resolver
