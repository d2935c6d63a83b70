"""The life of one session: its start, the connection to the XMPP server, and its end.

The machines (``websocket_session``, ``websocket_xmpp``) decide what to send and when the session ends. Two
directions (``flow``) move the bytes, in callbacks of the sockets. The session's greenlet connects to the XMPP
server, waits while stanzas flow, and closes both connections. ``sweep`` checks deadlines. ``states`` has the
table of transitions.
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
from wsgw.socket_async import LINGER_TIMEOUT, SocketAsync
from wsgw.telemetry import session_log
from wsgw.telemetry.peer import Peer
from wsgw.upstream import Upstream
from wsgw.websocket_session import WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp

log = logging.getLogger("wsgw.relay")

#: The smallest number of bytes that are read at a time with a shaper.
MIN_READ_SIZE = 1024
#: Seconds to flush the bytes of a lost browser to the server; with the sweep's interval, less than 1 s.
FLUSH_FOR_LOST = 0.4


class Owner(Protocol):
    """The supervisor, as a session sees it."""

    def repaired(self, relay: Relay) -> None:
        """Handle the ``repaired`` stanzas of the session's ``xmpp``."""

    def ended(self, relay: Relay) -> None:
        """Handle that the session is over and its sockets are closed or being closed."""


class Relay:
    """One session, from the 101 to the last FIN."""

    __slots__ = (
        "_browser",
        "_config",
        "_connecting",
        "_greenlet",
        "_owner",
        "_state",
        "_upstream",
        "_upstream_end",
        "_wake",
        "down",
        "frames_to_browser",
        "on_enter",
        "peer",
        "session",
        "started",
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
        #: Flushes and closes the server's connection after the end of the XMPP session.
        self._upstream_end: gevent.Greenlet[..., None] | None = None
        self._wake = Event()
        self._greenlet: greenlet | None = None
        #: When the session began (monotonic).
        self.started = monotonic()

    @property
    def state_name(self) -> str:
        """The name of the state, from ``states``."""
        return self._state.name.lower()

    @property
    def port(self) -> int:
        """The port of the session's listener."""
        return self._config.port

    @property
    def server(self) -> SocketAsync | None:
        """The connection to the XMPP server; None before it is connected and after it has ended."""
        return self.up.sink

    def _enter(self, state: State) -> None:
        self._state = state
        if self.on_enter is not None:
            self.on_enter(state.name.lower())

    # -- the greenlet ----------------------------------------------------------------------------

    def run(self) -> None:
        """Serve the session in the current greenlet, until both sockets are closed or being closed."""
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
        session_log.opened(self.peer, self._config.port)
        if self._config.shaper is not None:  # at most the bytes of one second at a time
            browser.read_size = max(MIN_READ_SIZE, min(browser.read_size, self._config.shaper))
        self.up.source = self.down.sink = browser
        browser.attach(self.up.received, self.down.resume, self._answers_taken)
        self.session.attach(self.xmpp, self.started, browser.outbox)
        browser.active_once()

    def _connect(self, domain: str) -> None:
        self.xmpp.connect_to = None
        self._enter(State.CONNECTING)
        self._connecting = True
        try:
            connection = self._upstream.connect(domain, self.peer)
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
        session_log.closed(self, self._config.port, monotonic() - self.started)
        self._browser.linger(LINGER_TIMEOUT if self._flush_browser() else 0.0, LINGER_TIMEOUT)
        if self._upstream_end is not None:
            self._upstream_end.join()

    def _flush_browser(self) -> bool:
        """Wait while the browser takes bytes, even slowly; return whether it has taken all of them."""
        browser, before = self._browser, None
        browser.detach()
        with contextlib.suppress(OSError):  # the browser is gone; ``linger`` handles that
            while before != browser.outbox.taken:
                before = browser.outbox.taken
                with gevent.Timeout(LINGER_TIMEOUT, False):  # type: ignore[arg-type]
                    browser.flush()
                    return True
        return False

    def _stop_connecting(self) -> None:
        """In the hub: interrupt the greenlet if it connects to the server.

        The exception is thrown at once, because a scheduled one could interrupt a later wait.
        """
        if self._connecting and self._greenlet is not None:
            self._connecting = False
            self._greenlet.throw(gevent.GreenletExit)

    def _answers_taken(self) -> None:
        self._guarded(self.session.answers_taken)
        self._guarded(self.settle)

    # -- the machines' output ----------------------------------------------------------------------

    def settle(self) -> None:
        """Send the machines' output, with one write for each side, and obey their requests."""
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
            flush = FLUSH_FOR_LOST if self.session.finished else LINGER_TIMEOUT
            self._upstream_end = gevent.spawn(connection.linger, flush, LINGER_TIMEOUT)

    def _finish(self) -> None:
        """The WebSocket is over: wake the greenlet, which ends the session."""
        if self._state < State.ENDING:
            self._enter(State.ENDING)
        self.up.source = None
        if self._connecting:
            gevent.get_hub().loop.run_callback(self._stop_connecting)
        self._wake.set()

    def repaired(self) -> None:
        """Report repaired stanzas of the XMPP server to the owner."""
        self._owner.repaired(self)

    # -- endings that the machines do not choose ---------------------------------------------------

    def gateway_stops(self) -> None:
        """End the session because wsgw stops.

        With ``drain_resumable: drop``, a session that its client can resume elsewhere (XEP-0198) ends without
        an error.
        """
        if self.xmpp.login.resumable and self._config.drain_resumable == "drop":
            self.drop(causes.GATEWAY_STOPS)
            return
        error = SessionError(causes.GATEWAY_STOPS, code=CloseCode.SERVICE_RESTART, farewell=Farewell.FIN)
        self._guarded(lambda: self.xmpp.fail(error))
        self._guarded(self.settle)

    def drop(self, cause: Cause) -> None:
        """End the session without an error or a Close frame for the browser; the server gets a FIN."""
        self._guarded(lambda: self.cut_browser(cause))
        self._guarded(self.settle)

    def cut_browser(self, cause: Cause) -> None:
        """End the WebSocket without a Close frame; the XMPP server gets a FIN."""
        self.xmpp.browser_lost(cause)
        self.session.lost()

    def fault(self) -> None:
        """Log the exception that is being handled, a fault of wsgw, and end the session."""
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
        """Run one step; an exception ends only this session."""
        try:
            step()
        except Exception:
            self.fault()
