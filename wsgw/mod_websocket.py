"""Supervises the sessions of a process: one ``VirtualHost`` per domain served, and those not yet at one.

Erlang twin: ``mod_websocket``, a ``simple_one_for_one`` supervisor of ``websocket_xmpp`` per virtual
host. A session belongs to the ``Supervisor`` from its 101 on and to its virtual host from its first
stream header on; both count it, the supervisor sweeps it and ends it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import monotonic
from typing import Any

import gevent
from gevent.event import Event

from wsgw.admission import Admission, Caps, Ticket
from wsgw.config.model import ListenerConfig
from wsgw.domain import normalise_domain
from wsgw.errors import CloseCode, Farewell, SessionError
from wsgw.relay import Peer, Relay
from wsgw.shared_table import SharedTable
from wsgw.socket_async import SocketAsync
from wsgw.upstream import Upstream
from wsgw.websocket_session import Timers, WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp, XmppLimits

log = logging.getLogger(__name__)

#: How often deadlines and unread peers are looked at, in seconds.
SWEEP_INTERVAL = 0.5
#: How often the connections turned away are logged, in seconds.
REFUSALS_REPORTED_EVERY = 10.0


class VirtualHost:
    """One domain and its sessions."""

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.sessions: set[Relay] = set()


class Supervisor:
    """Starts, counts, sweeps and ends every session of this process."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self.hosts = {domain: VirtualHost(domain) for domain in hosts}
        self.sessions: dict[Relay, Ticket] = {}
        self.admission = Admission(SharedTable(1), 0)
        self._empty = Event()
        self._empty.set()
        self._timer: Any = None
        self._report_refusals_at = 0.0

    def start(self) -> None:
        """Start sweeping."""
        self._timer = gevent.get_hub().loop.timer(SWEEP_INTERVAL, SWEEP_INTERVAL)
        self._timer.start(self._sweep)

    def stop(self) -> None:
        """Stop sweeping."""
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def start_child(
        self,
        peer: Peer,
        browser: SocketAsync,
        session: WebSocketSession,
        upstream: Upstream,
        config: ListenerConfig,
        ticket: Ticket,
    ) -> None:
        """Start the greenlet of a session whose 101 is sent; ``ticket`` is given back when it ends."""
        limits = XmppLimits(
            config.max_stanza_size,
            config.max_depth,
            config.max_attributes,
            config.open_timeout,
            config.auth_timeout,
        )
        see_other = SeeOther(config.see_other_uri)
        xmpp = WebSocketXmpp(session, limits, self._serves, monotonic(), see_other)
        relay = Relay(peer, browser, session, xmpp, upstream, config, self)
        self.sessions[relay] = ticket
        self._empty.clear()
        gevent.spawn_raw(relay.run)

    def end_all(self, timeout: float) -> None:
        """End every session with ``system-shutdown`` and wait until the last is gone (seconds)."""
        for relay in list(self.sessions):
            relay.end(
                SessionError("system-shutdown", "the gateway stops", CloseCode.SERVICE_RESTART, Farewell.FIN)
            )
        self._empty.wait(timeout)

    def _serves(self, to: str) -> str | None:
        """Return the domain that a stream header's ``to`` names, None if it is not served."""
        try:
            domain = normalise_domain(to)
        except ValueError:
            return None
        return domain if domain in self.hosts else None

    def joined(self, relay: Relay, domain: str) -> None:
        """A session has opened a stream to one of the hosts."""
        self.hosts[domain].sessions.add(relay)

    def ended(self, relay: Relay) -> None:
        """A session is over."""
        self.sessions.pop(relay).release()
        if relay.xmpp.domain:
            self.hosts[relay.xmpp.domain].sessions.discard(relay)
        if not self.sessions:
            self._empty.set()

    def _sweep(self) -> None:
        now = monotonic()
        for relay in list(self.sessions):
            relay.sweep(now)
        if now >= self._report_refusals_at:
            self._report_refusals()
            self._report_refusals_at = now + REFUSALS_REPORTED_EVERY

    def _report_refusals(self) -> None:
        """One line for many: a refusal must stay cheap."""
        for reason, count in self.admission.refused.items():
            log.warning("%d connections refused: %s", count, reason)
        self.admission.refused.clear()


class SeeOther:
    """Maps the host of a server's ``see-other-host`` to a WebSocket URI (RFC 7395 section 3.6.1)."""

    def __init__(self, template: str | None) -> None:
        self._template = template

    def __call__(self, host: str) -> str | None:
        """Return the URI, None if there is no template; a port of the host is dropped, it is TCP's."""
        if self._template is None:
            return None
        name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
        return self._template.replace("@HOST@", name)


def timers(config: ListenerConfig) -> Timers:
    """The deadlines of a WebSocket on this listener."""
    return Timers(
        config.websocket_ping_interval, config.pong_timeout, config.websocket_timeout, config.close_timeout
    )


def caps(config: ListenerConfig) -> Caps:
    """The caps of this listener."""
    return Caps(
        config.max_sessions,
        config.max_sessions_per_ip,
        config.max_connect_rate_per_ip,
        config.max_connect_burst_per_ip,
    )
