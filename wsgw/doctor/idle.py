"""A quiet minute: whether a proxy cuts a connection on which only pings are sent.

wsgw pings a quiet client, and the doctor answers as browsers do. A proxy whose timeout is shorter than the
interval of the pings cuts the connection without a Close frame; wsgw and the XMPP server end a session
without a login in order, with one.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import gevent

from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Check, Inquiry
from wsgw.doctor.names import LookupFailed
from wsgw.doctor.proxies import STAY_OPEN, what_to_set
from wsgw.doctor.reach import at_most
from wsgw.doctor.stream import close_stream, open_stream
from wsgw.doctor.upgrade import enter_public
from wsgw.doctor.websocket import origin_of, public_url
from wsgw.probe.websocket_client import WebSocketClient, WebSocketClosed, WebSocketFailed

#: Seconds to wait at most: by then any proxy has cut a quiet connection.
MAX_IDLE = 600.0
_NAME = "idle"
_CUT = f"{_NAME}.cut"
#: Seconds in which the server must answer after the wait.
_ANSWER = 10.0


def check(inquiry: Inquiry) -> Iterator[Finding]:
    """The findings about all domains, whose connections wait at the same time."""
    urls = {domain: public_url(domain, inquiry) for domain in inquiry.domains}
    running = [gevent.spawn(_examine, domain, url, inquiry) for domain, url in urls.items() if url]
    for one in running:
        yield one.get()


def _examine(domain: str, url: str, inquiry: Inquiry) -> Finding:
    try:
        client = enter_public(url, origin_of(domain, inquiry), inquiry).client
    except (LookupFailed, WebSocketFailed, OSError):  # another check says why
        return Finding(_CUT, url, Verdict.SKIPPED, "not tried, because no WebSocket opens")
    if not open_stream(client, domain).is_open:
        client.close()
        return Finding(_CUT, url, Verdict.SKIPPED, "not tried, because no stream opens")
    began = monotonic()
    try:
        with at_most(inquiry.idle):
            client.receive()
    except TimeoutError:
        return _about_end(url, client, inquiry.idle)
    except WebSocketClosed:
        pass
    except (WebSocketFailed, OSError):
        return _about_cut(url, client, began, inquiry)
    close_stream(client)
    return _about_session(url, client, monotonic() - began)


def _about_end(url: str, client: WebSocketClient, seconds: float) -> Finding:
    """The connection is still there, or seems to be."""
    pings = _counted(client)
    if close_stream(client, _ANSWER):
        return Finding(_CUT, url, Verdict.OK, f"a quiet connection is open after {seconds:g} s, with {pings}")
    what = f"a quiet connection is dead after {seconds:g} s: nothing is answered"
    fix = "let firewalls and NAT on the way keep quiet connections, or lower websocket_ping_interval"
    return Finding(_CUT, url, Verdict.FAILED, what, fix)


def _about_session(url: str, client: WebSocketClient, seconds: float) -> Finding:
    """The server has ended a session without a login, before the wait was over."""
    what = (
        f"the session without a login was ended after {seconds:.0f} s (auth_timeout), with {_counted(client)}"
    )
    if client.pings:
        return Finding(_CUT, url, Verdict.OK, f"no idle cut: {what}")
    return Finding(_CUT, url, Verdict.SKIPPED, what, "raise auth_timeout, or lower websocket_ping_interval")


def _about_cut(url: str, client: WebSocketClient, began: float, inquiry: Inquiry) -> Finding:
    quiet = monotonic() - max([began, *client.pings])
    client.close()
    interval = _ping_interval(inquiry)
    pings = f"; wsgw pings after {interval:g} s" if interval else ""
    what = f"the proxy cuts a connection after {quiet:.0f} s without traffic{pings}"
    fix = f"{what_to_set(STAY_OPEN, client.response)}; or set websocket_ping_interval below {quiet:.0f} s"
    return Finding(_CUT, url, Verdict.FAILED, what, fix)


def _ping_interval(inquiry: Inquiry) -> float:
    """Seconds without traffic after which wsgw pings; 0 if that is not known."""
    listeners = inquiry.config.listeners if inquiry.config is not None else ()
    return max((listener.websocket_ping_interval for listener in listeners), default=0.0)


def _counted(client: WebSocketClient) -> str:
    count = len(client.pings)
    return f"{count} ping{'' if count == 1 else 's'} answered"


IDLE = Check(_NAME, check, seconds=MAX_IDLE + 60.0, waits=True)
