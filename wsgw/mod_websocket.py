"""Supervises the sessions of one process: starts, counts, sweeps and ends them.

Erlang twin: ``mod_websocket``, a ``simple_one_for_one`` supervisor of ``websocket_xmpp`` for each virtual
host. One ``Supervisor`` serves all hosts of a process: a session belongs to it from its 101 on, and to a host
from its first stream header on, by ``WebSocketXmpp.domain``.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import random
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import gevent
from gevent.event import Event

from wsgw.capacity.accept_share import AcceptShare
from wsgw.capacity.admission import Admission, ConnectionLimits, Ticket
from wsgw.config.model import ListenerConfig, Traced
from wsgw.relay.life import Relay
from wsgw.socket_async import LINGER_TIMEOUT, SocketAsync
from wsgw.telemetry import session_log
from wsgw.telemetry.peer import Peer
from wsgw.telemetry.tally import Passed, Survey, Tally
from wsgw.telemetry.tracing import Tracing
from wsgw.upstream import Upstream
from wsgw.websocket_session import Timers, WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp, XmppLimits
from wsgw.xmpp.domain import normalise_domain

log = logging.getLogger("wsgw.mod_websocket")

#: Seconds between two sweeps of all sessions.
SWEEP_INTERVAL = 0.5
#: Seconds between two checks whether the last connection is gone.
IDLE_LOOK = 0.05
#: The share of ``drain_timeout`` in which sessions are ended; the last ones have the rest of it to close.
ENDING_SHARE = 0.8
#: Seconds between two log lines about refused connections.
REFUSALS_REPORTED_EVERY = 10.0
#: Seconds between two log lines about repaired stanzas of one session.
REPAIRS_LOGGED_EVERY = 60.0


class SeeOther:
    """Maps the host of a server's ``see-other-host`` to a WebSocket URI (RFC 7395 section 3.6.1)."""

    def __init__(self, template: str | None) -> None:
        self._template = template

    def __call__(self, host: str) -> str | None:
        """Return the URI for ``host``, None without a template; a port is dropped, because it is TCP's."""
        if self._template is None:
            return None
        name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
        return self._template.replace("@HOST@", name)


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """A listener's settings for its sessions, computed once and shared by all of them."""

    config: ListenerConfig
    connection_limits: ConnectionLimits
    timers: Timers
    limits: XmppLimits
    see_other: SeeOther

    @classmethod
    def of(cls, config: ListenerConfig) -> SessionSettings:
        """Compute the settings from ``config``."""
        return cls(
            config,
            ConnectionLimits(
                config.max_sessions,
                config.max_sessions_per_ip,
                config.max_connect_rate_per_ip,
                config.max_connect_burst_per_ip,
            ),
            Timers(
                config.websocket_ping_interval,
                config.pong_timeout,
                config.websocket_timeout,
                config.close_timeout,
            ),
            XmppLimits(
                config.max_stanza_size,
                config.max_depth,
                config.max_attributes,
                config.open_timeout,
                config.auth_timeout,
                config.websocket_timeout,
            ),
            SeeOther(config.see_other_uri),
        )


class ServedDomains:
    """The served domains, for one client; a domain that is not served is logged with the client."""

    __slots__ = ("_peer", "_supervisor")

    def __init__(self, supervisor: Supervisor, peer: Peer) -> None:
        self._supervisor = supervisor
        self._peer = peer

    def __call__(self, to: str) -> str | None:
        """Return the normalised domain of a stream header's ``to``, None if it is not served."""
        served = self._supervisor.served
        with contextlib.suppress(ValueError):
            domain = normalise_domain(to)
            if domain in served:
                return domain
        session_log.not_served(self._peer, to, served)
        return None


class Supervisor:
    """Starts, counts, sweeps and ends every session of this process."""

    def __init__(
        self, hosts: Iterable[str], admission: Admission, accept_share: AcceptShare, first_id: int = 1
    ) -> None:
        """``first_id`` is the number of the first connection in the log."""
        #: The domains to which clients may open new streams.
        self.served = frozenset(hosts)
        self.sessions: dict[Relay, Ticket] = {}
        self.admission = admission
        self.tally = Tally()
        self.accept_share = accept_share
        self.connection_ids = itertools.count(first_id)
        #: wsgw stops: no new session begins.
        self.draining = False
        self._empty = Event()
        self._empty.set()
        self._timer: Any = None
        self._report_refusals_at = 0.0
        #: By session with repaired stanzas: the moment (monotonic) before which no further one is logged.
        self._no_repair_logged_until: dict[Relay, float] = {}
        self._tracing = Tracing()

    def serve_hosts(self, hosts: Iterable[str]) -> None:
        """Serve these domains to new sessions; running sessions keep theirs."""
        self.served = frozenset(hosts)

    def trace(self, targets: Traced, *, everything: bool) -> None:
        """Trace the sessions in ``targets``, also running ones; with ``everything`` all, at level debug."""
        self._tracing.change(targets, self.sessions, everything=everything)

    def trace_session(self, connection: int, on: bool) -> None:
        """Trace the running session with this connection, or no longer; nothing happens if it has ended."""
        for relay in self.sessions:
            if relay.peer.connection_id == connection:
                self._tracing.choose(relay, on=on)
                return

    def start(self) -> None:
        """Start sweeping, and take a share of the new connections."""
        self.accept_share.beat(monotonic())
        self._timer = gevent.get_hub().loop.timer(SWEEP_INTERVAL, SWEEP_INTERVAL)
        self._timer.start(self._sweep)

    def stop_accepting(self) -> None:
        """Leave new connections to other workers."""
        self.accept_share.stop_accepting(monotonic())

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
        settings: SessionSettings,
        ticket: Ticket,
    ) -> None:
        """Start the greenlet of a session after its 101; ``ticket`` is released when the session ends."""
        served = ServedDomains(self, peer)
        xmpp = WebSocketXmpp(session, settings.limits, served, monotonic(), settings.see_other)
        relay = Relay(peer, browser, session, xmpp, upstream, settings.config, self)
        self.sessions[relay] = ticket
        self.tally.opened += 1
        self._empty.clear()
        self._tracing.began(relay)
        gevent.spawn_raw(relay.run)

    def drain(self, timeout: float) -> None:
        """Begin no more sessions, and end all running ones, spread over ``timeout`` seconds.

        Returns when all sessions have ended and no connection is left. After ``timeout``, it waits at most
        ``LINGER_TIMEOUT`` seconds for the last sessions, and as long again for connections without one.
        """
        self.draining = True
        deadline = monotonic() + timeout
        relays = list(self.sessions)
        random.shuffle(relays)
        gap = timeout * ENDING_SHARE / max(1, len(relays))
        for number, relay in enumerate(relays):
            at = deadline - timeout + (number + random.uniform(-0.5, 0.5)) * gap if number else 0.0
            if self._empty.wait(max(0.0, at - monotonic())):
                break
            self._end(relay)
        for relay in self.sessions.keys() - set(relays):  # those whose request was accepted meanwhile
            self._end(relay)
        self._empty.wait(max(LINGER_TIMEOUT, deadline - monotonic()))
        with gevent.Timeout(LINGER_TIMEOUT, False):  # type: ignore[arg-type]
            self.wait_until_idle()

    def _end(self, relay: Relay) -> None:
        if relay in self.sessions:
            relay.gateway_stops()

    def wait_until_idle(self) -> None:
        """Return when no connection is left, including those before their 101."""
        while self.accept_share.connections:
            gevent.sleep(IDLE_LOOK)

    def ended(self, relay: Relay) -> None:
        """Forget a session that is over, and count its end."""
        self._tracing.ended(relay)
        self.sessions.pop(relay).release()
        self.repaired(relay)
        self._no_repair_logged_until.pop(relay, None)
        self._note_end(relay)
        if not self.sessions:
            self._empty.set()

    def repaired(self, relay: Relay) -> None:
        """Count repaired stanzas, and log at most one a minute: any user can cause them at will."""
        now = monotonic()
        for repair in relay.xmpp.take_repaired():
            self.tally.stanzas_repaired.update(repair.reasons)
            if now >= self._no_repair_logged_until.get(relay, 0.0):
                self._no_repair_logged_until[relay] = now + REPAIRS_LOGGED_EVERY
                session_log.repaired(relay.peer, relay.xmpp.domain, repair)

    def _note_end(self, relay: Relay) -> None:
        found, xmpp = survey([relay], self.tally), relay.xmpp
        self.tally.session_ended(xmpp.ending.cause, found.passed, authenticated=xmpp.login.succeeded)

    def survey(self) -> Survey:
        """Return the figures of all running sessions; ``passed`` includes ended sessions."""
        found = survey(self.sessions, self.tally)
        return found._replace(passed=found.passed.plus(self.tally.passed))

    def _sweep(self) -> None:
        now = monotonic()
        self.accept_share.beat(now)
        for relay in list(self.sessions):
            relay.watch.sweep(now)
        if now >= self._report_refusals_at:
            self._report_refusals()
            self._report_refusals_at = now + REFUSALS_REPORTED_EVERY

    def _report_refusals(self) -> None:
        """Log one line for many refused connections: a refusal must stay cheap."""
        for reason, count in self.admission.refused.items():
            log.warning("%d connections refused: %s", count, reason)
        self.admission.refused.clear()


def survey(relays: Iterable[Relay], tally: Tally) -> Survey:
    """Return the figures of ``relays``, and append their ping times to ``tally``.

    There may be many sessions, so this is one loop with few calls.
    """
    groups: dict[tuple[str, str, str], int] = {}
    from_browser = to_browser = from_upstream = to_upstream = frames_from = frames_to = 0
    from_client = to_client = logins = failed = resumed = 0
    browsers_queue = upstreams_queue = paused = 0
    for relay in relays:
        session, xmpp, up, down = relay.session, relay.xmpp, relay.up, relay.down
        from_browser += up.bytes_received
        to_browser += down.bytes_sent
        from_upstream += down.bytes_received
        to_upstream += up.bytes_sent
        frames_from += session.frames_received
        frames_to += relay.frames_to_browser
        from_client += xmpp.stanzas_from_client
        to_client += xmpp.stanzas_to_client
        logins += xmpp.login.succeeded
        failed += xmpp.login.refused
        resumed += xmpp.login.resumed
        standing = (xmpp.domain, xmpp.framing_name, xmpp.state_name)
        groups[standing] = groups.get(standing, 0) + 1
        if session.ping_time is not None:
            tally.ping_times.append(session.ping_time)
            session.ping_time = None
        for_browser, for_upstream, waits = relay.watch.queued
        browsers_queue += for_browser
        upstreams_queue += for_upstream
        paused += waits
    passed = Passed(
        *(from_browser, to_browser, from_upstream, to_upstream, frames_from, frames_to),
        *(from_client, to_client, logins, failed, resumed),
    )
    return Survey(passed, logins, groups, browsers_queue, upstreams_queue, paused)
