"""One session: two sockets, the two machines between them, and the greenlet that owns its life.

The machines say what to send and when it is over; this module moves the bytes. Callbacks of the
sockets run in the hub, work off a bounded amount and return; the greenlet connects to the XMPP
server, is parked while stanzas flow, and does the ending.

Back-pressure: while the queue towards one side is above ``send_buffer_high``, the other side is
not read. Deadlines are looked at by ``sweep``, one timer for all sessions of a process.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

import gevent
from gevent.event import Event

from wsgw.config.model import ListenerConfig
from wsgw.errors import CloseCode, Farewell, SessionError, UpstreamFailed, causes
from wsgw.errors.causes import Cause
from wsgw.relay.progress import Progress
from wsgw.socket_async import LAST_WORDS, PeerState, SocketAsync
from wsgw.telemetry import session_log
from wsgw.telemetry.peer import Peer
from wsgw.upstream import Upstream
from wsgw.websocket_session import WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp

log = logging.getLogger(__name__)

#: Messages or elements worked off in one callback; the rest waits for the loop's next turn.
BUDGET = 256
#: How long a client is left alone with ``<enabled/>``, in seconds: enough for a busy one to have read it
#: before what follows comes. A login takes as much longer, nothing else does.
PAUSE = 0.005
#: A shaper's slowest clients are still read in pieces of this size, in bytes.
MIN_READ_SIZE = 1024
#: What a lost browser had sent is flushed for this long; with the sweep's interval it stays below 1 s.
FLUSH_FOR_LOST = 0.4


class Owner(Protocol):
    """Who supervises sessions."""

    def joined(self, relay: Relay, domain: str) -> None:
        """The session has opened a stream to a domain."""

    def repaired(self, relay: Relay) -> None:
        """The session's ``xmpp`` has ``repaired`` stanzas."""

    def ended(self, relay: Relay) -> None:
        """The session is over; its sockets are being closed."""


class Relay:
    """One browser's session, from the 101 to the last FIN."""

    __slots__ = (
        "_browser",
        "_browser_progress",
        "_config",
        "_connecting",
        "_draining",
        "_greenlet",
        "_owner",
        "_pump_scheduled",
        "_read_again_at",
        "_rested",
        "_started",
        "_upstream",
        "_upstream_end",
        "_upstream_progress",
        "_upstream_pump_scheduled",
        "_wake",
        "bytes_from_browser",
        "bytes_from_upstream",
        "bytes_to_browser",
        "bytes_to_upstream",
        "frames_to_browser",
        "peer",
        "session",
        "upstream",
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
        self.upstream = upstream
        self._config = config
        self._owner = owner
        self._browser = browser
        self._browser_progress = Progress(browser)
        self._upstream: SocketAsync | None = None
        self._upstream_progress: Progress | None = None
        #: Flushes and closes the server's connection, once the session is over for it.
        self._upstream_end: Any = None
        self._wake = Event()
        self._greenlet: Any = None
        self._connecting = False
        #: The browser has sent FIN while it was not being read: read on, whatever the queues say.
        self._draining = False
        self._pump_scheduled = False
        self._upstream_pump_scheduled = False
        #: The last sweep found nothing to look at.
        self._rested = False
        #: What has passed so far, without TLS; frames and stanzas are counted by the machines too.
        self.bytes_from_browser = self.bytes_to_browser = 0
        self.bytes_from_upstream = self.bytes_to_upstream = 0
        self.frames_to_browser = 0
        #: With a shaper: when the browser may be read again.
        self._read_again_at = 0.0
        self._started = monotonic()

    # -- the greenlet ----------------------------------------------------------------------------

    def run(self) -> None:
        """Live the session's life; returns when both sockets are closed or being closed."""
        self._greenlet = gevent.getcurrent()
        browser = self._browser
        session_log.opened(self.peer, browser, self._config.port)
        if self._config.shaper is not None:  # no more at once than a second's worth
            browser.read_size = max(MIN_READ_SIZE, min(browser.read_size, self._config.shaper))
        browser.attach(self._browser_received, self._upstream_may_be_read, self._answers_taken)
        self.session.attach(self.xmpp, self._started, browser)
        browser.active_once()
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
                self._owner.ended(self)

    def _connect(self, domain: str) -> None:
        self.xmpp.connect_to = None
        self._owner.joined(self, domain)
        self._connecting = True
        try:
            connection = self.upstream.connect(domain, self.peer.endpoint)
        except gevent.GreenletExit:
            return  # thrown by _stop_connecting: the session is over
        except UpstreamFailed as error:
            self.xmpp.upstream_lost(error.ending.cause)
            self._settle()
            return
        except Exception:
            self._fault()
            return
        finally:
            self._connecting = False
        self._upstream, self._upstream_progress = connection, Progress(connection)
        connection.attach(self._upstream_received, self._browser_may_be_read)
        self.xmpp.upstream_connected()
        self._settle()
        if self._upstream is not None:
            connection.active_once()
        self._pump_browser()

    def _end(self) -> None:
        self.session.lost()
        self.xmpp.browser_lost(causes.GATEWAY_STOPPED)
        self._settle()
        self.session.detach()
        session_log.closed(self, self._browser, self._config.port, monotonic() - self._started)
        self._browser.linger(LAST_WORDS if self._flush_browser() else 0.0, LAST_WORDS)
        if self._upstream_end is not None:
            self._upstream_end.join()

    def _flush_browser(self) -> bool:
        """Wait as long as the browser takes something: it may read slowly. Whether it has taken all."""
        browser, before = self._browser, None
        browser.detach()
        with contextlib.suppress(OSError):  # it is gone, which ``linger`` sees too
            while before != browser.taken:
                before = browser.taken
                with gevent.Timeout(LAST_WORDS, False):  # type: ignore[arg-type]
                    browser.flush()
                    return True
        return False

    def _interrupt(self) -> None:
        """Let the greenlet see that the session is over."""
        if self._connecting:
            gevent.get_hub().loop.run_callback(self._stop_connecting)
        self._wake.set()

    def _stop_connecting(self) -> None:
        """In the hub, while the greenlet waits: end its wait for the server, if that is what it waits for.

        An exception that is scheduled instead may arrive in a later wait.
        """
        if self._connecting:
            self._connecting = False
            self._greenlet.throw(gevent.GreenletExit)

    def _answers_taken(self) -> None:
        self._guarded(self.session.answers_taken)
        self._guarded(self._settle)

    # -- callbacks of the sockets: in the hub, never blocking, never raising -----------------------

    def _browser_received(self, data: bytes) -> None:
        try:
            if data:
                now = monotonic()
                self.bytes_from_browser += len(data)
                if self._config.shaper is not None:
                    self._read_again_at = max(self._read_again_at, now) + len(data) / self._config.shaper
                self.session.receive_data(data, now)
                self._process_browser()
            else:
                self.session.lost()
                self._settle()
        except Exception:
            self._fault()

    def _pump_browser(self) -> None:
        self._pump_scheduled = False
        self._guarded(self._process_browser)

    def _process_browser(self) -> None:
        """Work off what the browser sent; read on, or wait for the server to take it."""
        session = self.session
        if session.finished:
            return
        more = session.process(BUDGET)
        self._settle()
        if self._draining and self._upstream_queued() > self._config.send_buffer_hard:
            self.xmpp.browser_lost(causes.LEFT_TOO_MUCH)
            session.lost()  # its last words are more than the server takes
            self._settle()
        if session.finished or self._browser_must_wait():
            return
        if not more:
            self._browser.active_once()
        elif not session.waits and not self._pump_scheduled:
            self._pump_scheduled = True
            gevent.get_hub().loop.run_callback(self._pump_browser)

    def _browser_must_wait(self) -> bool:
        if self._draining:
            return False
        if self._read_again_at and self._read_again_at > monotonic() + LAST_WORDS:
            return True
        return self._upstream is not None and self._upstream.queued > self._config.send_buffer_high

    def _upstream_queued(self) -> int:
        return self._upstream.queued if self._upstream is not None else 0

    def _browser_may_be_read(self) -> None:
        """The server has taken what was queued."""
        if not self._browser.armed and not self._pump_scheduled:
            self._pump_browser()

    def _upstream_received(self, data: bytes) -> None:
        try:
            if data:
                self.bytes_from_upstream += len(data)
                self.xmpp.upstream_data(data)
                self._process_upstream()
            else:
                self.xmpp.upstream_lost(causes.UPSTREAM_LOST)
                self._settle()
        except Exception:
            self._fault()

    def _pump_upstream(self) -> None:
        self._upstream_pump_scheduled = False
        if self._upstream is not None:
            self._guarded(self._process_upstream)

    def _process_upstream(self) -> None:
        """Work off what the server sent; read on, or wait for the browser to take it."""
        more = self.xmpp.process_upstream(BUDGET)
        if more and self.xmpp.repaired:
            self._owner.repaired(self)
        self._settle()
        if self._upstream is None or self._browser.queued > self._config.send_buffer_high:
            return
        if not more:
            self._upstream.active_once()
        elif not self._upstream_pump_scheduled:
            self._upstream_pump_scheduled = True
            if self.xmpp.pauses:
                self.xmpp.pauses = False
                gevent.spawn_later(PAUSE, self._pump_upstream)
            else:
                gevent.get_hub().loop.run_callback(self._pump_upstream)

    def _upstream_may_be_read(self) -> None:
        """The browser has taken what was queued."""
        if self._upstream is not None and not self._upstream.armed and not self._upstream_pump_scheduled:
            self._pump_upstream()

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run one step; a fault of ours ends this session and no other."""
        try:
            step()
        except Exception:
            self._fault()

    def _fault(self) -> None:
        """End the session for what is being handled: an exception of ours."""
        log.exception("%s ! fault in the gateway", self.peer)
        error = SessionError(causes.FAULT, code=CloseCode.INTERNAL_ERROR, farewell=Farewell.FIN)
        try:
            self.xmpp.fail(error)
            self._settle()
        except Exception:
            log.exception("%s ! fault while ending the session", self.peer)
            self.session.finished = True
            self._interrupt()

    # -- what the machines said --------------------------------------------------------------------

    def _settle(self) -> None:
        """Send what the machines queued, one write a side; follow their wishes."""
        session, xmpp = self.session, self.xmpp
        if session.data_to_send:
            self._send_to_browser(session.data_to_send)
        if xmpp.to_upstream or xmpp.upstream_finished:
            self._send_to_upstream(xmpp.to_upstream)
        if session.finished or xmpp.connect_to is not None:
            self._interrupt()

    def _send_to_browser(self, frames: list[bytes]) -> None:
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        self.bytes_to_browser += len(data)
        self.frames_to_browser += len(frames)
        frames.clear()
        self._browser.send(data)
        self.session.sent(monotonic())

    def _send_to_upstream(self, elements: list[bytes]) -> None:
        upstream = self._upstream
        if upstream is None:
            elements.clear()
            return
        if elements:
            data = elements[0] if len(elements) == 1 else b"".join(elements)
            self.bytes_to_upstream += len(data)
            elements.clear()
            upstream.send(data)
        if self.xmpp.upstream_finished:
            self._upstream = self._upstream_progress = None
            flush = FLUSH_FOR_LOST if self.session.finished else LAST_WORDS
            self._upstream_end = gevent.spawn(upstream.linger, flush, LAST_WORDS)

    # -- the sweep ---------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Look at every deadline of this session, and at peers that are not being read.

        Nearly every session is at rest nearly always: that takes 0.6 µs instead of 1.5.
        """
        if (
            now < self.session.due
            and self._upstream is not None
            and self._browser.at_rest
            and self._upstream.at_rest
            and self.xmpp.at_rest
            and self.session.at_rest
        ):
            self._rested = True
            return
        try:
            self._sweep(now)
        except Exception:
            self._fault()

    def _sweep(self, now: float) -> None:
        if self.session.finished:
            return
        browser, progress = self._browser, self._browser_progress
        if self._rested:  # nothing was queued when it was last looked at
            self._rested = False
            progress.forget()
            if self._upstream_progress is not None:
                self._upstream_progress.forget()
        self.session.tick(now, reading=browser.armed)
        self.xmpp.tick(now, reading=self._upstream is not None and self._upstream.armed)
        if progress.beyond_last_words(now):
            self.session.lost()
        elif progress.stalled(now) >= self._config.send_timeout:
            self._cut_browser(causes.SLOW_CONSUMER)
        elif not browser.armed:
            self._look_at_unread_browser()
        if self._upstream_progress is not None:
            self._sweep_upstream(self._upstream_progress, now)
        self._settle()

    def _look_at_unread_browser(self) -> None:
        """A side that is not read shows neither FIN nor RST; and a shaper's pause may be over."""
        state = self._browser.peer_state()
        if state is PeerState.GONE or (state is PeerState.DRAINING and not self.xmpp.ready):
            self.session.lost()
        elif state is PeerState.DRAINING:
            self._draining = True
            self._browser_may_be_read()
        elif not self._browser_must_wait():
            self._browser_may_be_read()

    def _sweep_upstream(self, progress: Progress, now: float) -> None:
        if progress.beyond_last_words(now):
            self.xmpp.upstream_lost(causes.UPSTREAM_LOST)
        elif progress.stalled(now) >= self._config.send_timeout:
            self.xmpp.upstream_lost(causes.UPSTREAM_STALLED)

    def _cut_browser(self, cause: Cause) -> None:
        """It does not read: nothing can be said to it any more."""
        self.xmpp.browser_lost(cause)
        self.session.lost()
        self.session.finished = True

    @property
    def queued(self) -> tuple[int, int, bool]:
        """Bytes that wait for the browser and for the server; whether a side is not read meanwhile.

        What was at rest at the last sweep is taken to be so still.
        """
        if self._rested:
            return 0, 0, False
        browser, upstream = self._browser, self._upstream
        if upstream is None:
            return browser.queued, 0, False
        return browser.queued, upstream.queued, not (browser.armed and upstream.armed)

    # -- from outside ------------------------------------------------------------------------------

    def gateway_stops(self) -> None:
        """End the session: a client that can resume it elsewhere (XEP-0198) may lose it without a word."""
        if self.xmpp.login.resumable and self._config.drain_resumable == "drop":
            self.drop(causes.GATEWAY_STOPS)
            return
        error = SessionError(causes.GATEWAY_STOPS, code=CloseCode.SERVICE_RESTART, farewell=Farewell.FIN)
        self._guarded(lambda: self.xmpp.fail(error))
        self._guarded(self._settle)

    def drop(self, cause: Cause) -> None:
        """Lose the browser without a word."""
        self._guarded(lambda: self._cut_browser(cause))
        self._guarded(self._settle)
