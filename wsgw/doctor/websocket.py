"""The WebSocket of a domain: directly at the listeners of the configuration, then by the address of clients.

If it opens directly and not by the public address, a proxy in front of wsgw is the cause; the finding names
the part of the request that the proxy loses, and its directive.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from urllib.parse import unquote, urlsplit

from gevent import socket, ssl

from wsgw.config.cross_checks import is_loopback
from wsgw.config.model import HANDLER, ListenerConfig
from wsgw.doctor.domains import examine_addresses
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.host_meta import websocket_of
from wsgw.doctor.inquiry import Check, Inquiry
from wsgw.doctor.names import LookupFailed, is_local
from wsgw.doctor.proxies import NO_BUFFERING, what_to_set
from wsgw.doctor.reach import attempts, connect, dial, local_address, reason, shown
from wsgw.doctor.stream import TIMEOUT, Answer, close_stream, open_stream
from wsgw.doctor.tls import examine_tls, trusting
from wsgw.doctor.upgrade import Backend, Entered, enter, enter_public, why_not
from wsgw.net.port_holder import holder_of
from wsgw.probe.websocket_client import Response, WebSocketFailed

_NAME = "websocket"
_PORTS = {"ws": 80, "wss": 443}
#: Seconds by which an answer through the proxy may be later.
_LATE = 3.0
_EXAMPLE = Backend("/ws-xmpp", "ADDRESS:PORT", None)
#: Version 1 of the PROXY protocol: a connection of the proxy itself.
_PROXY_HEADER = b"PROXY UNKNOWN\r\n"


def check(inquiry: Inquiry) -> Iterator[Finding]:
    """The findings about the WebSockets of all domains."""
    for domain in inquiry.domains:
        yield from _Domain(domain, inquiry).findings()


def origin_of(domain: str, inquiry: Inquiry) -> str:
    """The origin of the web page that is asked about."""
    return inquiry.origin or f"https://{domain}"


def public_url(domain: str, inquiry: Inquiry, *, genuine: bool = False) -> str:
    """The address by which clients find the WebSocket of ``domain``; empty if none is known.

    That is the URL of the inquiry, otherwise that of host-meta, otherwise the one that host-meta should have.
    ``genuine``: host-meta counts only with a valid certificate.
    """
    if inquiry.url:
        return inquiry.url
    if is_local(domain):
        return ""
    named = inquiry.config.host_meta if inquiry.config is not None else ()
    configured = (one.websocket for one in named if one.host == domain)
    return websocket_of(domain, inquiry, genuine=genuine) or next(filter(None, configured), "")


class _Domain:
    """The examination of one domain."""

    def __init__(self, domain: str, inquiry: Inquiry) -> None:
        self._domain = domain
        self._inquiry = inquiry
        self._origin = origin_of(domain, inquiry)
        self._backend = _EXAMPLE
        #: The answer to a stream that was opened directly; None if none could be opened.
        self._direct: Answer | None = None

    def findings(self) -> Iterator[Finding]:
        """All findings, the public ones last."""
        config = self._inquiry.config
        for listener in config.listeners if config is not None else ():
            for path in listener.url_paths(HANDLER)[:1]:
                yield from self._examine_listener(listener, path)
        url = public_url(self._domain, self._inquiry)
        if url:
            yield from self._examine_public(url)
            return
        what = "the address of the WebSocket is not known, so it is not tried as a browser would"
        yield Finding(f"{_NAME}.public", self._domain, Verdict.SKIPPED, what, "name it with --url")
        if self._direct is not None:
            yield from self._about_stream(self._domain, self._direct)

    # -- directly --------------------------------------------------------------------------------

    def _examine_listener(self, listener: ListenerConfig, path: str) -> Iterator[Finding]:
        address = local_address(listener.ip)
        place = shown(address, listener.port)
        name = f"{_NAME}.direct"
        backend = Backend(path, place, works=False)
        absent = no_gateway(listener)
        if absent:
            self._backend = self._backend if self._backend.works else backend
            yield Finding(name, place, Verdict.SKIPPED, f"not tried: {absent}")
            return
        url = f"{'wss' if listener.tls else 'ws'}://{shown(self._domain, listener.port)}{path}"
        try:
            entered = enter(url, self._origin, partial(dial_listener, listener, address), trusting())
        except (OSError, WebSocketFailed) as error:
            yield Finding(name, place, Verdict.FAILED, *_why_not_directly(error))
            self._backend = self._backend if self._backend.works else backend
            return
        self._backend = backend._replace(works=True)
        yield Finding(name, place, Verdict.OK, f"wsgw opens a WebSocket at {path}")
        if entered.refused is not None:
            self._origin = ""  # the refusal is known; the rest is checked without
            yield self._about_origin(place, listener)
        self._direct = open_stream(entered.client, self._domain)
        close_stream(entered.client)

    def _about_origin(self, place: str, listener: ListenerConfig) -> Finding:
        origin = origin_of(self._domain, self._inquiry)
        allowed = ", ".join(listener.websocket_origin)
        what = f"wsgw refuses web pages of the origin {origin} (403); websocket_origin allows {allowed}"
        fix = f'add "{origin}" to websocket_origin and reload wsgw, or ask about another page with --origin'
        return Finding(f"{_NAME}.origin", place, Verdict.FAILED, what, fix)

    # -- by the public address -------------------------------------------------------------------

    def _examine_public(self, url: str) -> Iterator[Finding]:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        if (host, port) != (self._domain, _PORTS["wss"]):
            yield from self._examine_host(host, port, parts.scheme)
        if not self._is_reached(host, port):
            what = f"not tried: {shown(host, port)} is not reached"
            yield Finding(f"{_NAME}.public", url, Verdict.SKIPPED, what)
            return
        if parts.scheme == "ws" and not is_loopback(host):
            what = (
                "is not encrypted: browsers refuse it on a page with HTTPS, and networks can read passwords"
            )
            yield Finding(
                f"{_NAME}.encryption", url, Verdict.FAILED, what, "let clients connect to a wss:// address"
            )
        path = parts.path or "/"
        try:
            entered = enter_public(url, self._origin, self._inquiry)
        except ssl.SSLError:  # the findings about TLS say why
            yield Finding(f"{_NAME}.public", url, Verdict.SKIPPED, "not tried, because TLS fails")
            return
        except (OSError, WebSocketFailed) as error:
            backend = self._backend_for(path)
            yield Finding(f"{_NAME}.public", url, Verdict.FAILED, *why_not(error, path, backend))
            return
        yield Finding(f"{_NAME}.public", url, Verdict.OK, "opens a WebSocket as for a browser")
        yield from self._about_public(url, entered)

    def _examine_host(self, host: str, port: int, scheme: str) -> Iterator[Finding]:
        """The host of the address, if it is not the port of the domain that other checks examine."""
        server, cafile = self._inquiry.resolver, self._inquiry.cafile
        yield from examine_addresses(host, port, server, Verdict.FAILED)
        if scheme == "wss" and self._is_reached(host, port):
            yield from examine_tls(host, port, partial(connect, server=server), cafile)

    def _backend_for(self, path: str) -> Backend:
        """The backend, with ``path`` itself if a listener serves it or no listener is known."""
        config = self._inquiry.config
        listeners = config.listeners if config is not None else ()
        if not listeners or any(listener.serves(_segments(path)) for listener in listeners):
            return self._backend._replace(path=path)
        return self._backend

    def _is_reached(self, host: str, port: int) -> bool:
        try:
            return any(one.error is None for one in attempts(host, port, self._inquiry.resolver))
        except LookupFailed:
            return False

    def _about_public(self, url: str, entered: Entered) -> Iterator[Finding]:
        if entered.refused is not None:
            what = f"the proxy refuses web pages of the origin {self._origin} (403)"
            fix = "remove the rule about Origin in the proxy, or ask about another page with --origin"
            if self._backend.works is None:
                fix = f'add "{self._origin}" to websocket_origin and reload wsgw; otherwise {fix}'
                what = f"refuses web pages of the origin {self._origin} (403)"
            yield Finding(f"{_NAME}.origin", url, Verdict.FAILED, what, fix)
        answer = open_stream(entered.client, self._domain)
        close_stream(entered.client)
        yield from self._about_stream(url, answer, entered.client.response)

    # -- the stream ------------------------------------------------------------------------------

    def _about_stream(
        self, subject: str, answer: Answer, response: Response | None = None
    ) -> Iterator[Finding]:
        name = f"{_NAME}.stream"
        if answer.is_open and self._direct is not None and answer.seconds > self._direct.seconds + _LATE:
            directly = f"and directly after {self._direct.seconds:.1f} s"
            what = f"the answer arrives after {answer.seconds:.1f} s, {directly}: the proxy buffers"
            fix = what_to_set(NO_BUFFERING, response)
            yield Finding(f"{_NAME}.buffering", subject, Verdict.NOTE, what, fix)
        elif answer.is_open:
            took = f"{answer.seconds * 1000:.0f} ms"
            yield Finding(name, subject, Verdict.OK, f"a stream to {self._domain} opens in {took}")
        elif answer.condition:
            yield Finding(name, subject, Verdict.FAILED, *_about_condition(self._domain, answer.condition))
        elif answer.silent and self._direct is not None and self._direct.is_open:
            what = f"no answer arrives within {TIMEOUT:g} s, though wsgw answers directly: the proxy buffers"
            fix = what_to_set(NO_BUFFERING, response)
            yield Finding(f"{_NAME}.buffering", subject, Verdict.FAILED, what, fix)
        else:
            what = answer.fault or f"no answer arrives within {TIMEOUT:g} s"
            fix = "read wsgw's log for this connection (cause), and check the upstream"
            yield Finding(name, subject, Verdict.FAILED, f"the stream does not open: {what}", fix)


def _segments(path: str) -> tuple[str, ...]:
    return tuple(unquote(segment) for segment in path.split("/") if segment)


def dial_listener(listener: ListenerConfig, address: str, _host: str, port: int) -> socket.socket:
    """A connection to ``listener``, with the PROXY header that it expects. Raises OSError."""
    sock = dial(address, port)
    if listener.use_proxy_protocol:
        sock.sendall(_PROXY_HEADER)
    return sock


def no_gateway(listener: ListenerConfig) -> str:
    """Why no gateway can answer on the port, as a clause; another check says what to do. Empty if one may."""
    holder = holder_of(listener.ip, listener.port)
    if holder is None or not holder.listens:
        return "no gateway listens there"
    return "" if holder.pid is None or holder.is_wsgw or holder.is_systemd else f"{holder} listens there"


def _why_not_directly(error: OSError | WebSocketFailed) -> tuple[str, str]:
    what = reason(error) if isinstance(error, OSError) else str(error)
    return (
        f"opens no WebSocket: {what}",
        "reload wsgw, if it runs with another configuration, and read its log",
    )


def _about_condition(domain: str, condition: str) -> tuple[str, str]:
    what = f"the stream to {domain} is refused: {condition}"
    if condition in ("host-unknown", "host-gone", "improper-addressing"):
        return what, f"add {domain} to hosts of wsgw and of the XMPP server, and reload both"
    if condition in ("remote-connection-failed", "internal-server-error", "system-shutdown"):
        return what, "start the XMPP server, and correct upstream: wsgw's log has the reason"
    return what, "read the logs of wsgw and of the XMPP server"


WEBSOCKET = Check(_NAME, check, seconds=300.0)
