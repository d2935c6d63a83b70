"""The DNS of a domain: its addresses and the port of HTTPS at them, its SRV records."""

from __future__ import annotations

from collections.abc import Iterator

from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Check, Inquiry
from wsgw.doctor.names import (
    SERVICES,
    LookupFailed,
    Server,
    Target,
    addresses_of,
    alias_of,
    is_address,
    is_local,
    services_of,
)
from wsgw.doctor.reach import attempts, reason, shown

_NAME = "dns"
_HTTPS = 443


def check(inquiry: Inquiry) -> Iterator[Finding]:
    """The findings about the names of all domains."""
    for domain in inquiry.domains:
        if is_local(domain):
            what = "a name of this machine only: DNS and host-meta are not checked"
            yield Finding(f"{_NAME}.address", domain, Verdict.SKIPPED, what)
            continue
        # With --url the clients have the address of the WebSocket in their settings.
        verdict = Verdict.NOTE if inquiry.url else Verdict.FAILED
        yield from examine_addresses(domain, _HTTPS, inquiry.resolver, verdict)
        yield from _services(domain, inquiry.resolver)


def examine_addresses(host: str, port: int, server: Server, severity: Verdict) -> Iterator[Finding]:
    """The findings about the addresses of ``host``, and whether a server listens on ``port`` of each.

    ``severity``: the verdict about a fault.
    """
    name = f"{_NAME}.address"
    try:
        made = attempts(host, port, server)
    except LookupFailed as failure:
        yield Finding(name, host, severity, failure.what, failure.fix)
        return
    tried = [one for one in made if not one.has_no_route] or made
    for one in tried:
        if one.error is not None:
            what = f"its address {one.address} {reason(one.error)} on port {port}"
            fix = (
                f"let the web server or proxy listen on {shown(one.address, port)}, open the firewall for"
                f" it, or correct the record of {host} in DNS"
            )
            yield Finding(name, host, severity, what, fix)
    if all(one.error is None for one in tried):
        yield Finding(
            name, host, Verdict.OK, f"{', '.join(one.address for one in tried)}, port {port} answers"
        )


def _services(domain: str, server: Server) -> Iterator[Finding]:
    name = f"{_NAME}.srv"
    try:
        found = services_of(domain, server)
    except LookupFailed as failure:
        yield Finding(name, domain, Verdict.NOTE, f"SRV records: {failure.what}", failure.fix)
        return
    if not found and _exists(domain, server):
        what = f"no SRV records: clients without WebSocket connect to {domain}, port 5222"
        fix = f"add {SERVICES[0]}._tcp.{domain} if the XMPP server is another host or port"
        yield Finding(name, domain, Verdict.NOTE, what, fix)
    for record, targets in found.items():
        faults = [finding for target in targets for finding in _about_target(record, target, server)]
        yield from faults or [Finding(name, record, Verdict.OK, _listed(targets))]


def _exists(domain: str, server: Server) -> bool:
    try:
        return bool(addresses_of(domain, server))
    except LookupFailed:
        return False


def _about_target(record: str, target: Target, server: Server) -> Iterator[Finding]:
    """The faults of a target (RFC 2782); a target ``.`` says that there is no such service."""
    name = f"{_NAME}.srv"
    if target.host in (".", ""):
        return
    if is_address(target.host):
        what, fix = f"its target {target.host} is an address", "name a host there"
        yield Finding(name, record, Verdict.FAILED, what, fix)
        return
    try:
        addresses_of(target.host, server)
        alias = alias_of(target.host, server)
    except LookupFailed as failure:
        what = f"its target {target.host} {failure.what}"
        yield Finding(name, record, Verdict.FAILED, what, failure.fix)
        return
    if alias:
        what = f"its target {target.host} is an alias (CNAME): some clients refuse it"
        yield Finding(name, record, Verdict.NOTE, what, f"name {alias} there")


def _listed(targets: list[Target]) -> str:
    if all(target.host in (".", "") for target in targets):
        return "says that there is no such service"
    return ", ".join(shown(target.host, target.port) for target in targets)


DNS = Check(_NAME, check, seconds=60.0)
