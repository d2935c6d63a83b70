"""Checks each session twice a second: its deadlines, and peers whose state no callback reports.

The machines know their deadlines and get the time from here. A socket calls back when its peer sends or takes
bytes. Three states cause no callback, so the sweep looks for them:

    the peer takes no queued bytes   the session ends after ``send_timeout``
    a write has failed               the session ends after ``LINGER_TIMEOUT``, in which the rest is read
    a socket is not read             the kernel is asked for the peer's FIN or RST

A session is usually at rest, and its sweep ends as soon as that is proved.
"""

from __future__ import annotations

from wsgw.config.model import ListenerConfig
from wsgw.errors import causes
from wsgw.relay.flow import OVER, Direction, Life
from wsgw.socket_async import LINGER_TIMEOUT, Outbox, PeerState, SocketAsync
from wsgw.websocket_session import WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp


class Progress:
    """Observes, from one sweep to the next, whether the peer of one socket takes the queued bytes."""

    __slots__ = ("_failed_at", "_stalled_since", "_taken")

    def __init__(self) -> None:
        self._taken = 0
        self._stalled_since = 0.0
        self._failed_at = 0.0

    def stalled(self, outbox: Outbox, now: float) -> float:
        """Return for how many seconds the peer has taken no queued bytes; 0 if none are queued."""
        if not outbox.queued:
            self._stalled_since = 0.0
            return 0.0
        taken = outbox.taken
        if taken != self._taken or not self._stalled_since:
            self._taken, self._stalled_since = taken, now
        return now - self._stalled_since

    def failed_too_long(self, outbox: Outbox, now: float) -> bool:
        """Whether a write failed, and the time to read the peer's earlier bytes is over."""
        if not outbox.failed:
            return False
        self._failed_at = self._failed_at or now
        return now - self._failed_at >= LINGER_TIMEOUT


class Watch:
    """The sweep of one session."""

    __slots__ = (
        "_browser",
        "_browser_progress",
        "_config",
        "_life",
        "_session",
        "_up",
        "_upstream_progress",
        "_xmpp",
    )

    def __init__(
        self,
        life: Life,
        session: WebSocketSession,
        xmpp: WebSocketXmpp,
        browser: SocketAsync,
        up: Direction,
        config: ListenerConfig,
    ) -> None:
        self._life: Life = life
        self._session = session
        self._xmpp = xmpp
        self._browser = browser
        self._up = up
        self._config = config
        #: None if the session was at rest in the last sweep, so that no bytes were queued.
        self._browser_progress: Progress | None = Progress()
        self._upstream_progress: Progress | None = None

    def sweep(self, now: float) -> None:
        """Check every deadline of this session, and its peers, at ``now`` (seconds, monotonic). Never raises.

        A session at rest takes 0.6 µs instead of 1.5.
        """
        upstream = self._up.sink
        if (
            now < self._session.due
            and upstream is not None
            and self._browser.at_rest
            and upstream.at_rest
            and self._xmpp.at_rest
            and self._session.at_rest
        ):
            if self._browser_progress is not None:
                self._browser_progress = self._upstream_progress = None
            return
        try:
            self._check(now)
        except Exception:
            self._life.fault()

    def detach(self) -> None:
        """The session is over: drop it."""
        self._life = OVER

    def _check(self, now: float) -> None:
        if self._session.finished:
            return
        upstream = self._up.sink
        self._session.tick(now, reading=self._browser.armed)
        self._xmpp.tick(now, reading=upstream is not None and upstream.armed)
        self._check_browser(now)
        if self._up.sink is not None:
            self._check_upstream(self._up.sink, now)
        self._life.settle()

    def _check_browser(self, now: float) -> None:
        progress = self._browser_progress = self._browser_progress or Progress()
        if progress.failed_too_long(self._browser.outbox, now):
            self._session.lost()
        elif progress.stalled(self._browser.outbox, now) >= self._config.send_timeout:
            self._life.cut_browser(causes.SLOW_CONSUMER)
        elif not self._browser.armed:
            self._check_unread_browser()

    def _check_unread_browser(self) -> None:
        """Ask the kernel for FIN or RST of a browser that is not read; end a shaper's pause."""
        state = self._browser.peer_state()
        if state is PeerState.GONE or (state is PeerState.DRAINING and not self._xmpp.ready):
            self._session.lost()
        elif state is PeerState.DRAINING:
            self._up.read_to_end(self._config.send_buffer_hard, self._browser_left_too_much)
        elif not self._up.must_wait:
            self._up.resume()

    def _browser_left_too_much(self) -> None:
        """End the session: before it left, the browser sent more bytes than the server takes."""
        self._xmpp.browser_lost(causes.LEFT_TOO_MUCH)
        self._session.lost()

    def _check_upstream(self, upstream: SocketAsync, now: float) -> None:
        progress = self._upstream_progress = self._upstream_progress or Progress()
        if progress.failed_too_long(upstream.outbox, now):
            self._xmpp.upstream_lost(causes.UPSTREAM_LOST)
        elif progress.stalled(upstream.outbox, now) >= self._config.send_timeout:
            self._xmpp.upstream_lost(causes.UPSTREAM_STALLED)

    @property
    def queued(self) -> tuple[int, int, bool]:
        """(bytes queued for the browser, for the server; whether one of the two is not read).

        A session that was at rest in the last sweep counts as at rest.
        """
        if self._browser_progress is None:
            return 0, 0, False
        upstream = self._up.sink
        if upstream is None:
            return self._browser.outbox.queued, 0, False
        return (
            self._browser.outbox.queued,
            upstream.outbox.queued,
            not (self._browser.armed and upstream.armed),
        )
