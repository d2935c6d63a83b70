"""Where a domain's XMPP server is, by DNS SRV (RFC 6120 section 3.2, XEP-0368)."""

from __future__ import annotations

import random
from collections.abc import Iterable

import dns.exception
import dns.resolver
import gevent

from wsgw.config.model import UpstreamAddress, UpstreamScheme

_SERVICES: tuple[tuple[str, UpstreamScheme], ...] = (("_xmpps-client", "tls"), ("_xmpp-client", "starttls"))
_Record = tuple[int, int, UpstreamAddress]


def look_up(domain: str, timeout: float) -> list[UpstreamAddress]:
    """Return the servers to try, in order; without records the domain itself on port 5222.

    Runs in a native thread, so that the loop goes on. ``timeout`` is in seconds.
    """
    records = gevent.get_hub().threadpool.apply(_records, (domain, timeout))
    if not records:
        return [UpstreamAddress("starttls", domain, 5222)]
    return list(_in_order(records))


def _records(domain: str, timeout: float) -> list[_Record]:
    """(priority, weight, address) of both services, mixed (XEP-0368 section 3)."""
    records: list[_Record] = []
    for service, scheme in _SERVICES:
        try:
            answer = dns.resolver.resolve(f"{service}._tcp.{domain}", "SRV", lifetime=timeout)
        except dns.exception.DNSException:
            continue
        for record in answer:
            target = record.target.to_text(omit_final_dot=True)
            if target not in ("", "."):  # "." says: not offered
                address = UpstreamAddress(scheme, target, record.port)
                records.append((record.priority, record.weight, address))
    return records


def _in_order(records: Iterable[_Record]) -> Iterable[UpstreamAddress]:
    """RFC 2782: by priority, and within one by chance in proportion to the weights."""
    by_priority: dict[int, list[tuple[int, UpstreamAddress]]] = {}
    for priority, weight, address in records:
        by_priority.setdefault(priority, []).append((weight, address))
    for priority in sorted(by_priority):
        left = by_priority[priority]
        while left:
            chosen = random.choices(left, [weight + 1 for weight, _ in left])[0]
            left.remove(chosen)
            yield chosen[1]
