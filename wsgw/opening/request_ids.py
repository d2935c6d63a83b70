"""Finds the names that a trusted proxy has given a request: ``X-Request-ID``, and ``traceparent`` of W3C.

They are for the log. A client could write any text there, so only a trusted proxy's values count, and only
those of ``ID``: no blank, quote or control character, and no length that fills the log.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from wsgw.opening.client_address import TrustedProxies

#: Contains UUIDs, the IDs of nginx, haproxy and Envoy, and ``traceparent`` (W3C Trace Context section 3.2).
ID = re.compile(r"[0-9A-Za-z._:/+=-]{1,128}")


def request_ids(
    peer: str, headers: Sequence[tuple[str, str]], trusted: TrustedProxies
) -> tuple[str | None, str | None]:
    """Return the values of (``X-Request-ID``, ``traceparent``), None for each that is missing or not valid.

    ``peer`` is the address of the socket's peer, ``headers`` holds (name, value) in order. A header that is
    sent twice is not valid.
    """
    if not trusted.may_report(peer):
        return None, None
    found: dict[str, list[str]] = {"x-request-id": [], "traceparent": []}
    for name, value in headers:
        lowered = name.lower()
        if lowered in found:
            found[lowered].append(value)
    return _only_value(found["x-request-id"]), _only_value(found["traceparent"])


def _only_value(values: Sequence[str]) -> str | None:
    return values[0] if len(values) == 1 and ID.fullmatch(values[0]) else None
