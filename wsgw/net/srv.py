"""Looks up the XMPP servers of a domain by DNS SRV records (RFC 6120 section 3.2, XEP-0368).

Answers are cached for their time to live, so that many clients at once cause one DNS query.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import cache

import dns.exception
import dns.resolver
import gevent

from wsgw.config.model import UpstreamAddress, UpstreamScheme

_SERVICES: tuple[tuple[str, UpstreamScheme], ...] = (("_xmpps-client", "tls"), ("_xmpp-client", "starttls"))
_Record = tuple[int, int, UpstreamAddress]


def look_up(domain: str, timeout: float) -> list[UpstreamAddress]:
    """The addresses to try, in this order; without records the domain itself on port 5222, with STARTTLS.

    The queries run in a native thread, so the event loop continues; only the calling greenlet waits.
    ``timeout``: seconds for all queries together. Raises OSError if the records say that the domain has no
    such service (target ``.``).
    """
    records = gevent.get_hub().threadpool.apply(_records, (domain, timeout / len(_SERVICES)))
    offered = [record for record in records if record[2].host != "."]
    if records and not offered:
        raise OSError("its SRV records say that it has no server for clients")
    return list(_in_order(offered)) or [UpstreamAddress("starttls", domain, 5222)]


def _records(domain: str, timeout: float) -> list[_Record]:
    """(priority, weight, address) of the records of both services, as one list (XEP-0368 section 3)."""
    records: list[_Record] = []
    for service, scheme in _SERVICES:
        try:
            answer = _resolver().resolve(f"{service}._tcp.{domain}", "SRV", lifetime=timeout)
        except dns.exception.DNSException:
            continue
        for record in answer:
            address = UpstreamAddress(scheme, record.target.to_text(omit_final_dot=True), record.port)
            records.append((record.priority, record.weight, address))
    return records


@cache
def _resolver() -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver()
    resolver.cache = dns.resolver.LRUCache()
    return resolver


def _in_order(records: Iterable[_Record]) -> Iterable[UpstreamAddress]:
    """By priority; records of one priority in random order, weighted as RFC 2782 says."""
    by_priority: dict[int, list[tuple[int, UpstreamAddress]]] = {}
    for priority, weight, address in records:
        by_priority.setdefault(priority, []).append((weight, address))
    for priority in sorted(by_priority):
        left = by_priority[priority]
        while left:
            chosen = random.choices(left, [weight + 1 for weight, _ in left])[0]
            left.remove(chosen)
            yield chosen[1]
