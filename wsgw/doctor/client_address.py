"""Whether wsgw gets the client's address from the proxy.

The gateway counts the WebSockets by the source of the client's address (``wsgw_client_addresses_total``). The
doctor reads the counter at a ``wsgw_admin`` listener, opens a WebSocket by the public address, and reads it
again. Each reading waits until all workers have published their counts since then.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address
from time import time
from urllib.parse import urlsplit

import gevent

from wsgw.config.model import AdminListener, Config
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Check, Inquiry
from wsgw.doctor.names import LookupFailed, addresses_of
from wsgw.doctor.proxies import FORWARD_ADDRESS, what_to_set
from wsgw.doctor.reach import at_most, dial, local_address
from wsgw.doctor.stream import close_stream
from wsgw.doctor.upgrade import enter_public
from wsgw.doctor.websocket import origin_of, public_url
from wsgw.probe.websocket_client import Response, WebSocketFailed

_NAME = "client-address"
_SOURCE = f"{_NAME}.source"
#: Lines in Prometheus' text format: the counter, and the time (since the epoch) at which a worker published.
_COUNT = re.compile(rb'^wsgw_client_addresses_total\{source="(\w+)"\} (\S+)$', re.MULTILINE)
_PUBLISHED = re.compile(rb"^wsgw_worker_published_timestamp_seconds\{.*\} (\S+)$", re.MULTILINE)
#: Seconds in which all workers have published, also those with many sessions; and between two readings.
_PATIENCE, _PAUSE = 15.0, 0.1
#: Seconds for the answer of the listener.
_ANSWER = 10.0


def check(inquiry: Inquiry) -> Iterator[Finding]:
    """The findings about all domains."""
    config = inquiry.config
    urls = [(domain, public_url(domain, inquiry)) for domain in inquiry.domains]
    if config is None or not any(url for _, url in urls):
        return
    if not config.admin_listeners:
        what = "not checked: the configuration has no wsgw_admin listener, at which the gateway says it"
        fix = "add one on a port of 127.0.0.1, or look at client in wsgw's log"
        yield Finding(_SOURCE, "gateway", Verdict.SKIPPED, what, fix)
        return
    for domain, url in urls:
        if url and not _is_loopback(url, inquiry):
            yield _examine(domain, url, config, inquiry)


def _is_loopback(url: str, inquiry: Inquiry) -> bool:
    """Whether the doctor would connect over loopback, so that it has no address to be forwarded."""
    try:
        found = addresses_of(urlsplit(url).hostname or "", inquiry.resolver)
    except LookupFailed:
        return False
    return any(ip_address(address).is_loopback for address in found)


def _examine(domain: str, url: str, config: Config, inquiry: Inquiry) -> Finding:
    listener = config.admin_listeners[0]
    try:
        before = _counts(listener)
    except (OSError, HTTPException):
        what = f"not checked: no gateway answers on the port {listener.port} of wsgw_admin"
        return Finding(_SOURCE, url, Verdict.SKIPPED, what)
    try:
        client = enter_public(url, origin_of(domain, inquiry), inquiry).client
    except (LookupFailed, WebSocketFailed, OSError):  # another check says why
        return Finding(_SOURCE, url, Verdict.SKIPPED, "not checked, because no WebSocket opens")
    try:
        new = _counts(listener) - before
    except (OSError, HTTPException):
        return Finding(_SOURCE, url, Verdict.SKIPPED, "not checked: the gateway answers no more")
    finally:
        close_stream(client)
    return _about(url, new, client.response)


def _counts(listener: AdminListener) -> Counter[str]:
    """The counter by source, as of now or later. Raises OSError and HTTPException."""
    began = time()
    with at_most(_PATIENCE):
        while True:
            text = _metrics(listener)
            if min(map(float, _PUBLISHED.findall(text)), default=0.0) > began:
                return Counter({source.decode(): int(float(count)) for source, count in _COUNT.findall(text)})
            gevent.sleep(_PAUSE)


def _metrics(listener: AdminListener) -> bytes:
    address = local_address(listener.ip)
    with at_most(_ANSWER), dial(address, listener.port) as sock:
        connection = HTTPConnection(address, listener.port)
        connection.sock = sock
        connection.request("GET", "/metrics")
        return connection.getresponse().read()


def _about(url: str, new: Counter[str], response: Response) -> Finding:
    if new["untrusted"]:
        what = (
            "the proxy sends the client's address, and wsgw ignores it, because the proxy is not trusted: all"
            " clients count as one address for the limits and in the log"
        )
        fix = "add the proxy's address, which the log has as client, to trusted_proxies and reload wsgw"
        return Finding(_SOURCE, url, Verdict.FAILED, what, fix)
    if new["missing"]:
        what = "the proxy does not send the client's address: the log and the XMPP server have the proxy's"
        return Finding(_SOURCE, url, Verdict.NOTE, what, what_to_set(FORWARD_ADDRESS, response))
    if new["forwarded"]:
        return Finding(_SOURCE, url, Verdict.OK, "the client's address arrives, from the proxy's header")
    if new["peer"]:
        return Finding(_SOURCE, url, Verdict.OK, "the client's address arrives, from the connection")
    what = "leads to another gateway than that of this configuration, which has counted no WebSocket"
    fix = "correct the address or the proxy, or ask with the configuration of that gateway"
    return Finding(_SOURCE, url, Verdict.NOTE, what, fix)


CLIENT_ADDRESS = Check(_NAME, check, seconds=120.0)
