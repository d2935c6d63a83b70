"""What is looked at in one session twice a second: its deadlines, and peers that do not show what they do.

The machines know their deadlines and are told the time. A socket calls back when its peer sends or takes
something. What does not happen calls nothing back, so it is looked for here:

    the peer takes nothing of what is queued   after ``send_timeout`` it is given up
    a write has failed                         the peer's last words are read for ``LAST_WORDS``
    a socket is not read                       its FIN or RST would stay unseen: the kernel is asked

Nearly every session is at rest nearly always; its look ends with the proof of that.
"""

from __future__ import annotations

from wsgw.config.model import ListenerConfig
from wsgw.errors import causes
from wsgw.relay.flow import OVER, Direction, Life
from wsgw.socket_async import LAST_WORDS, Outbox, PeerState, SocketAsync
from wsgw.websocket_session import WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp


class Progress:
    """Whether the peer of one socket takes what is queued, from one look to the next."""

    __slots__ = ("_failed_at", "_stalled_since", "_taken")

    def __init__(self) -> None:
        self._taken = 0
        self._stalled_since = 0.0
        self._failed_at = 0.0

    def stalled(self, outbox: Outbox, now: float) -> float:
        """How long the peer has taken nothing of what is queued, in seconds."""
        if not outbox.queued:
            self._stalled_since = 0.0
            return 0.0
        taken = outbox.taken
        if taken != self._taken or not self._stalled_since:
            self._taken, self._stalled_since = taken, now
        return now - self._stalled_since

    def beyond_last_words(self, outbox: Outbox, now: float) -> bool:
        """Whether a write failed, and the time to read what the peer said before is over."""
        if not outbox.failed:
            return False
        self._failed_at = self._failed_at or now
        return now - self._failed_at >= LAST_WORDS


class Watch:
    """Looks at one session from the outside."""

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
        #: None if the last sweep found the session at rest: nothing was queued then.
        self._browser_progress: Progress | None = Progress()
        self._upstream_progress: Progress | None = None

    def sweep(self, now: float) -> None:
        """Look at every deadline of this session, and at peers that are not being read; never raises.

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
            self._look(now)
        except Exception:
            self._life.fault()

    def detach(self) -> None:
        """The session is over."""
        self._life = OVER

    def _look(self, now: float) -> None:
        if self._session.finished:
            return
        upstream = self._up.sink
        self._session.tick(now, reading=self._browser.armed)
        self._xmpp.tick(now, reading=upstream is not None and upstream.armed)
        self._look_at_browser(now)
        if self._up.sink is not None:
            self._look_at_upstream(self._up.sink, now)
        self._life.settle()

    def _look_at_browser(self, now: float) -> None:
        progress = self._browser_progress = self._browser_progress or Progress()
        if progress.beyond_last_words(self._browser.outbox, now):
            self._session.lost()
        elif progress.stalled(self._browser.outbox, now) >= self._config.send_timeout:
            self._life.cut_browser(causes.SLOW_CONSUMER)
        elif not self._browser.armed:
            self._look_at_unread_browser()

    def _look_at_unread_browser(self) -> None:
        """A side that is not read shows neither FIN nor RST; and a shaper's pause may be over."""
        state = self._browser.peer_state()
        if state is PeerState.GONE or (state is PeerState.DRAINING and not self._xmpp.ready):
            self._session.lost()
        elif state is PeerState.DRAINING:
            self._up.read_to_end(self._config.send_buffer_hard, self._last_words_overflow)
        elif not self._up.must_wait:
            self._up.resume()

    def _last_words_overflow(self) -> None:
        """The browser's last words are more than the server takes."""
        self._xmpp.browser_lost(causes.LEFT_TOO_MUCH)
        self._session.lost()

    def _look_at_upstream(self, upstream: SocketAsync, now: float) -> None:
        progress = self._upstream_progress = self._upstream_progress or Progress()
        if progress.beyond_last_words(upstream.outbox, now):
            self._xmpp.upstream_lost(causes.UPSTREAM_LOST)
        elif progress.stalled(upstream.outbox, now) >= self._config.send_timeout:
            self._xmpp.upstream_lost(causes.UPSTREAM_STALLED)

    @property
    def queued(self) -> tuple[int, int, bool]:
        """Bytes that wait for the browser and for the server; whether a side is not read meanwhile.

        What was at rest at the last sweep is taken to be so still.
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
