"""Supervises the sessions of a process: starts, counts, sweeps and ends them.

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

from wsgw.capacity.accept_share import Turn
from wsgw.capacity.admission import Admission, Caps, Ticket
from wsgw.config.model import ListenerConfig, Traced
from wsgw.relay.life import Relay
from wsgw.socket_async import LAST_WORDS, SocketAsync
from wsgw.telemetry import session_log
from wsgw.telemetry.peer import Peer
from wsgw.telemetry.tally import Passed, Survey, Tally
from wsgw.telemetry.tracing import Tracing
from wsgw.upstream import Upstream
from wsgw.websocket_session import Timers, WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp, XmppLimits
from wsgw.xmpp.domain import normalise_domain

log = logging.getLogger("wsgw.mod_websocket")

#: How often deadlines and unread peers are looked at, in seconds.
SWEEP_INTERVAL = 0.5
#: How often it is looked whether the last connection is gone, in seconds.
IDLE_LOOK = 0.05
#: Of the time to drain, the share in which sessions are ended; the rest is for the last to close.
ENDING_SHARE = 0.8
#: How often the connections turned away are logged, in seconds.
REFUSALS_REPORTED_EVERY = 10.0
#: Seconds between two warnings of repaired stanzas in one session.
REPAIRS_LOGGED_EVERY = 60.0


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


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What a listener's options say of each of its sessions: worked out once, shared by all."""

    config: ListenerConfig
    caps: Caps
    timers: Timers
    limits: XmppLimits
    see_other: SeeOther

    @classmethod
    def of(cls, config: ListenerConfig) -> SessionSettings:
        """Work out what ``config`` says."""
        return cls(
            config,
            Caps(
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
            ),
            SeeOther(config.see_other_uri),
        )


class ServedDomains:
    """The domains served, as one client asks for them: what it asks for in vain is logged."""

    __slots__ = ("_peer", "_supervisor")

    def __init__(self, supervisor: Supervisor, peer: Peer) -> None:
        self._supervisor = supervisor
        self._peer = peer

    def __call__(self, to: str) -> str | None:
        """Return the domain that a stream header's ``to`` names, None if it is not served."""
        served = self._supervisor.served
        with contextlib.suppress(ValueError):
            domain = normalise_domain(to)
            if domain in served:
                return domain
        session_log.not_served(self._peer, to, served)
        return None


class Supervisor:
    """Starts, counts, sweeps and ends every session of this process."""

    def __init__(self, hosts: Iterable[str], admission: Admission, turn: Turn, first_id: int = 1) -> None:
        """``first_id`` is the number of the first connection in the log."""
        #: The domains that new streams may be opened to.
        self.served = frozenset(hosts)
        self.sessions: dict[Relay, Ticket] = {}
        self.admission = admission
        self.tally = Tally()
        self.turn = turn
        self.connection_ids = itertools.count(first_id)
        #: The gateway stops: no session is begun any more.
        self.draining = False
        self._empty = Event()
        self._empty.set()
        self._timer: Any = None
        self._report_refusals_at = 0.0
        #: Sessions with repaired stanzas, and when the next of those is logged.
        self._no_repair_logged_until: dict[Relay, float] = {}
        self._tracing = Tracing()

    def serve_hosts(self, hosts: Iterable[str]) -> None:
        """Serve these domains from now on; running sessions keep theirs."""
        self.served = frozenset(hosts)

    def trace(self, targets: Traced, *, everything: bool) -> None:
        """Trace the sessions that ``targets`` names, running ones too; with ``everything`` all, at debug."""
        self._tracing.change(targets, self.sessions, everything=everything)

    def start(self) -> None:
        """Start sweeping, and take part in accepting."""
        self.turn.beat(monotonic())
        self._timer = gevent.get_hub().loop.timer(SWEEP_INTERVAL, SWEEP_INTERVAL)
        self._timer.start(self._sweep)

    def stop_accepting(self) -> None:
        """Leave new connections to other workers."""
        self.turn.stop_accepting(monotonic())

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
        """Start the greenlet of a session whose 101 is sent; ``ticket`` is given back when it ends."""
        served = ServedDomains(self, peer)
        xmpp = WebSocketXmpp(session, settings.limits, served, monotonic(), settings.see_other)
        relay = Relay(peer, browser, session, xmpp, upstream, settings.config, self)
        self.sessions[relay] = ticket
        self.tally.opened += 1
        self._empty.clear()
        self._tracing.began(relay)
        gevent.spawn_raw(relay.run)

    def drain(self, timeout: float) -> None:
        """Begin no more sessions, and end all there are, spread over ``timeout`` (seconds).

        Returns when the last is gone, ``LAST_WORDS`` after ``timeout`` at the latest; requests that
        have begun are given as long to end and be refused.
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
        for relay in self.sessions.keys() - set(relays):  # the last whose request had been judged
            self._end(relay)
        self._empty.wait(max(LAST_WORDS, deadline - monotonic()))
        with gevent.Timeout(LAST_WORDS, False):  # type: ignore[arg-type]
            self.wait_until_idle()

    def _end(self, relay: Relay) -> None:
        if relay in self.sessions:
            relay.gateway_stops()

    def wait_until_idle(self) -> None:
        """Return when no connection is left, those still shaking hands included."""
        while self.turn.connections:
            gevent.sleep(IDLE_LOOK)

    def ended(self, relay: Relay) -> None:
        """A session is over."""
        self._tracing.ended(relay)
        self.sessions.pop(relay).release()
        self.repaired(relay)
        self._no_repair_logged_until.pop(relay, None)
        self._note_end(relay)
        if not self.sessions:
            self._empty.set()

    def repaired(self, relay: Relay) -> None:
        """Something was taken out of stanzas; any user may cause it at will, so one line a minute says it."""
        now = monotonic()
        for fault in relay.xmpp.take_repaired():
            self.tally.stanzas_repaired.update(fault.reasons)
            if now >= self._no_repair_logged_until.get(relay, 0.0):
                self._no_repair_logged_until[relay] = now + REPAIRS_LOGGED_EVERY
                session_log.repaired(relay.peer, relay.xmpp.domain, fault)

    def _note_end(self, relay: Relay) -> None:
        found, xmpp = survey([relay], self.tally), relay.xmpp
        self.tally.session_ended(xmpp.ending.cause, found.passed, authenticated=xmpp.login.succeeded)

    def survey(self) -> Survey:
        """Look at every session; what passed in those before them is in it too."""
        found = survey(self.sessions, self.tally)
        return found._replace(passed=found.passed.plus(self.tally.passed))

    def _sweep(self) -> None:
        now = monotonic()
        self.turn.beat(now)
        for relay in list(self.sessions):
            relay.watch.sweep(now)
        if now >= self._report_refusals_at:
            self._report_refusals()
            self._report_refusals_at = now + REFUSALS_REPORTED_EVERY

    def _report_refusals(self) -> None:
        """One line for many: a refusal must stay cheap."""
        for reason, count in self.admission.refused.items():
            log.warning("%d connections refused: %s", count, reason)
        self.admission.refused.clear()


def survey(relays: Iterable[Relay], tally: Tally) -> Survey:
    """Look at sessions; ``tally`` gets the ping times they have. There are many: one loop, few calls."""
    groups: dict[tuple[str, str, str], int] = {}
    from_browser = to_browser = from_upstream = to_upstream = frames_from = frames_to = 0
    from_client = to_client = logins = failed = 0
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
        *(from_client, to_client, logins, failed),
    )
    return Survey(passed, logins, groups, browsers_queue, upstreams_queue, paused)
