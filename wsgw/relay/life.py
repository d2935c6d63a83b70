"""The life of one session: its start, the connection to the XMPP server, and the settling of its end.

The machines (``websocket_session``, ``websocket_xmpp``) say what to send and when it is over. Two directions
(``flow``) move the bytes, in callbacks of the sockets; the greenlet here connects to the XMPP server, is
parked while stanzas flow, and ends the session; ``sweep`` looks at deadlines. What leads from one state of a
session to another: ``states``.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from time import monotonic
from typing import Protocol

import gevent
from gevent.event import Event
from greenlet import greenlet

from wsgw.config.model import ListenerConfig
from wsgw.errors import CloseCode, Farewell, SessionError, UpstreamFailed, causes
from wsgw.errors.causes import Cause
from wsgw.relay.flow import Direction, FromBrowser, FromServer, Shaper
from wsgw.relay.states import State
from wsgw.relay.sweep import Watch
from wsgw.socket_async import LAST_WORDS, SocketAsync
from wsgw.telemetry import session_log
from wsgw.telemetry.peer import Peer
from wsgw.upstream import Upstream
from wsgw.websocket_session import WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp

log = logging.getLogger("wsgw.relay")

#: A shaper's slowest clients are still read in pieces of this size, in bytes.
MIN_READ_SIZE = 1024
#: What a lost browser had sent is flushed for this long; with the sweep's interval it stays below 1 s.
FLUSH_FOR_LOST = 0.4


class Owner(Protocol):
    """The supervisor of the sessions."""

    def repaired(self, relay: Relay) -> None:
        """The session's ``xmpp`` has ``repaired`` stanzas."""

    def ended(self, relay: Relay) -> None:
        """The session is over; its sockets are being closed."""


class Relay:
    """One browser's session, from the 101 to the last FIN."""

    __slots__ = (
        "_browser",
        "_config",
        "_connecting",
        "_greenlet",
        "_owner",
        "_started",
        "_state",
        "_upstream",
        "_upstream_end",
        "_wake",
        "down",
        "frames_to_browser",
        "on_enter",
        "peer",
        "session",
        "up",
        "watch",
        "xmpp",
    )

    def __init__(
        self,
        peer: Peer,
        browser: SocketAsync,
        session: WebSocketSession,
        xmpp: WebSocketXmpp,
        upstream: Upstream,
        config: ListenerConfig,
        owner: Owner,
    ) -> None:
        self.peer = peer
        self.session = session
        self.xmpp = xmpp
        self._upstream = upstream
        self._config = config
        self._owner = owner
        self._browser = browser
        high = config.send_buffer_high
        shaper = None if config.shaper is None else Shaper(config.shaper)
        #: From the browser to the XMPP server, and back.
        self.up = Direction(self, FromBrowser(session), high, shaper)
        self.down = Direction(self, FromServer(xmpp, self), high)
        self.watch = Watch(self, session, xmpp, browser, self.up, config)
        self.frames_to_browser = 0
        #: Called with the name of each state that is entered; None unless the session is traced.
        self.on_enter: Callable[[str], None] | None = None
        self._state = State.OPENING
        #: The greenlet waits in ``upstream.connect``.
        self._connecting = False
        #: Flushes and closes the server's connection, once the session is over for it.
        self._upstream_end: gevent.Greenlet[..., None] | None = None
        self._wake = Event()
        self._greenlet: greenlet | None = None
        self._started = monotonic()

    def _enter(self, state: State) -> None:
        self._state = state
        if self.on_enter is not None:
            self.on_enter(state.name.lower())

    # -- the greenlet ----------------------------------------------------------------------------

    def run(self) -> None:
        """Live the session's life; returns when both sockets are closed or being closed."""
        self._greenlet = gevent.getcurrent()
        self._begin()
        try:
            while not self.session.finished:
                if self.xmpp.connect_to is not None:
                    self._connect(self.xmpp.connect_to)
                else:
                    self._wake.wait()
                    self._wake.clear()
        finally:
            try:
                self._end()
            finally:
                self._enter(State.CLOSED)
                self._owner.ended(self)

    def _begin(self) -> None:
        browser = self._browser
        session_log.opened(self.peer, browser.tls_parameters, self._config.port)
        if self._config.shaper is not None:  # no more at once than a second's worth
            browser.read_size = max(MIN_READ_SIZE, min(browser.read_size, self._config.shaper))
        self.up.source = self.down.sink = browser
        browser.attach(self.up.received, self.down.resume, self._answers_taken)
        self.session.attach(self.xmpp, self._started, browser.outbox)
        browser.active_once()

    def _connect(self, domain: str) -> None:
        self.xmpp.connect_to = None
        self._enter(State.CONNECTING)
        self._connecting = True
        try:
            connection = self._upstream.connect(domain, self.peer.endpoint)
        except gevent.GreenletExit:
            return  # thrown by _stop_connecting: the session is over
        except UpstreamFailed as error:
            self.xmpp.upstream_lost(error.ending.cause)
            self.settle()
            return
        except Exception:
            self.fault()
            return
        finally:
            self._connecting = False
        self._connected(connection)

    def _connected(self, connection: SocketAsync) -> None:
        if self._state is State.CONNECTING:
            self._enter(State.FLOWING)
        self.up.sink = self.down.source = connection
        connection.attach(self.down.received, self.up.resume)
        self.xmpp.upstream_connected()
        self.settle()
        if self.down.source is not None:
            connection.active_once()
        self.up.pump()

    def _end(self) -> None:
        self.session.lost()
        self.xmpp.browser_lost(causes.GATEWAY_STOPPED)
        self.settle()
        for part in (self.session, self.up, self.down, self.watch):
            part.detach()
        session_log.closed(self, self._browser.tls_parameters, self._config.port, monotonic() - self._started)
        self._browser.linger(LAST_WORDS if self._flush_browser() else 0.0, LAST_WORDS)
        if self._upstream_end is not None:
            self._upstream_end.join()

    def _flush_browser(self) -> bool:
        """Wait as long as the browser takes something: it may read slowly. Whether it has taken all."""
        browser, before = self._browser, None
        browser.detach()
        with contextlib.suppress(OSError):  # it is gone, which ``linger`` sees too
            while before != browser.outbox.taken:
                before = browser.outbox.taken
                with gevent.Timeout(LAST_WORDS, False):  # type: ignore[arg-type]
                    browser.flush()
                    return True
        return False

    def _stop_connecting(self) -> None:
        """In the hub, while the greenlet waits: end its wait for the server, if that is what it waits for.

        An exception that is scheduled instead may arrive in a later wait.
        """
        if self._connecting and self._greenlet is not None:
            self._connecting = False
            self._greenlet.throw(gevent.GreenletExit)

    def _answers_taken(self) -> None:
        self._guarded(self.session.answers_taken)
        self._guarded(self.settle)

    # -- what the machines said --------------------------------------------------------------------

    def settle(self) -> None:
        """Send what the machines queued, one write a side; follow their wishes."""
        session, xmpp = self.session, self.xmpp
        if session.data_to_send:
            self.frames_to_browser += len(session.data_to_send)
            self.down.send(session.data_to_send)
            session.sent(monotonic())
        if xmpp.to_upstream:
            self.up.send(xmpp.to_upstream)
        if xmpp.upstream_finished:
            self._part()
        if session.finished:
            self._finish()
        elif xmpp.connect_to is not None:
            self._wake.set()

    def _part(self) -> None:
        """The XMPP session is over: flush and close the server's connection."""
        if self._state < State.PARTING:
            self._enter(State.PARTING)
        connection = self.up.sink
        if connection is not None:
            self.up.sink = self.down.source = None
            flush = FLUSH_FOR_LOST if self.session.finished else LAST_WORDS
            self._upstream_end = gevent.spawn(connection.linger, flush, LAST_WORDS)

    def _finish(self) -> None:
        """The WebSocket is over too: let the greenlet see it."""
        if self._state < State.ENDING:
            self._enter(State.ENDING)
        self.up.source = None
        if self._connecting:
            gevent.get_hub().loop.run_callback(self._stop_connecting)
        self._wake.set()

    def repaired(self) -> None:
        """Stanzas of the XMPP server were repaired."""
        self._owner.repaired(self)

    # -- endings that the machines do not choose ---------------------------------------------------

    def gateway_stops(self) -> None:
        """End the session: a client that can resume it elsewhere (XEP-0198) may lose it without a word."""
        if self.xmpp.login.resumable and self._config.drain_resumable == "drop":
            self.drop(causes.GATEWAY_STOPS)
            return
        error = SessionError(causes.GATEWAY_STOPS, code=CloseCode.SERVICE_RESTART, farewell=Farewell.FIN)
        self._guarded(lambda: self.xmpp.fail(error))
        self._guarded(self.settle)

    def drop(self, cause: Cause) -> None:
        """Lose the browser without a word."""
        self._guarded(lambda: self.cut_browser(cause))
        self._guarded(self.settle)

    def cut_browser(self, cause: Cause) -> None:
        """Lose the browser without its Close: it does not read, or is not to be told."""
        self.xmpp.browser_lost(cause)
        self.session.lost()

    def fault(self) -> None:
        """End the session for what is being handled: an exception of ours."""
        log.exception("%s ! fault in the gateway", self.peer)
        error = SessionError(causes.FAULT, code=CloseCode.INTERNAL_ERROR, farewell=Farewell.FIN)
        try:
            self.xmpp.fail(error)
            self.settle()
        except Exception:
            log.exception("%s ! fault while ending the session", self.peer)
            self.session.cut()
            self._finish()

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run one step; a fault of ours ends this session and no other."""
        try:
            step()
        except Exception:
            self.fault()
