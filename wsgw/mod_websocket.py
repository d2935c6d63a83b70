"""Supervises the sessions of a process: one ``VirtualHost`` per domain served, and those not yet at one.

Erlang twin: ``mod_websocket``, a ``simple_one_for_one`` supervisor of ``websocket_xmpp`` per virtual
host. A session belongs to the ``Supervisor`` from its 101 on and to its virtual host from its first
stream header on; both count it, the supervisor sweeps it and ends it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from time import monotonic
from typing import Any

import gevent
from gevent.event import Event

from wsgw.config.model import ListenerConfig
from wsgw.connect_rate import ConnectRate
from wsgw.domain import normalise_domain
from wsgw.errors import CloseCode, Farewell, HandshakeRefused, SessionError
from wsgw.relay import Peer, Relay
from wsgw.socket_async import SocketAsync
from wsgw.upstream import Upstream
from wsgw.websocket_session import Timers, WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp, XmppLimits

log = logging.getLogger(__name__)

#: How often deadlines and unread peers are looked at, in seconds.
SWEEP_INTERVAL = 0.5


class VirtualHost:
    """One domain and its sessions."""

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.sessions: set[Relay] = set()


class Supervisor:
    """Starts, counts, sweeps and ends every session of this process."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self.hosts = {domain: VirtualHost(domain) for domain in hosts}
        self.sessions: set[Relay] = set()
        self.sessions_by_client: Counter[str] = Counter()
        self._connect_rate = ConnectRate()
        self._empty = Event()
        self._empty.set()
        self._timer: Any = None

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

    def admit(self, config: ListenerConfig, client: str, counted: bool) -> None:
        """Raise HandshakeRefused (503) if this client's session would be one too many.

        ``counted``: its address has a limit. The limit of all sessions is everyone's.
        """
        if len(self.sessions) >= config.max_sessions:
            raise _unavailable("too many sessions", 30)
        if not counted:
            return
        if self.sessions_by_client[client] >= config.max_sessions_per_ip:
            raise _unavailable("too many sessions from your address", 30)
        rate, burst = config.max_connect_rate_per_ip, config.max_connect_burst_per_ip
        if not self._connect_rate.allows(client, rate, burst, monotonic()):
            raise _unavailable("too many connections from your address", 1)

    def start_child(
        self,
        peer: Peer,
        browser: SocketAsync,
        session: WebSocketSession,
        upstream: Upstream,
        config: ListenerConfig,
        counted: bool,
    ) -> None:
        """Start the greenlet of a session whose 101 is sent. ``counted``: its address has a limit."""
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
        self.sessions.add(relay)
        if counted:
            self.sessions_by_client[peer.client] += 1
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
        self.sessions.discard(relay)
        if relay.xmpp.domain:
            self.hosts[relay.xmpp.domain].sessions.discard(relay)
        client = relay.peer.client
        if client in self.sessions_by_client:
            self.sessions_by_client[client] -= 1
            if self.sessions_by_client[client] <= 0:
                del self.sessions_by_client[client]
        if not self.sessions:
            self._empty.set()

    def _sweep(self) -> None:
        now = monotonic()
        for relay in list(self.sessions):
            relay.sweep(now)


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


def _unavailable(reason: str, retry_after: int) -> HandshakeRefused:
    """The refusal of a session too many, to be tried again after ``retry_after`` seconds."""
    return HandshakeRefused(503, f"Service Unavailable: {reason}", [("Retry-After", str(retry_after))])


def timers(config: ListenerConfig) -> Timers:
    """The deadlines of a WebSocket on this listener."""
    return Timers(
        config.websocket_ping_interval, config.pong_timeout, config.websocket_timeout, config.close_timeout
    )
