"""Accepts this worker's share of the connections on a listening socket."""

from __future__ import annotations

import logging
import socket
from time import monotonic
from typing import Any

import gevent
from gevent import pywsgi

from wsgw.capacity.accept_share import PAUSE_ENDS, RECHECK
from wsgw.listener.connection import serve_connection
from wsgw.listener.context import ListenerContext

#: The most connections accepted in one turn of the loop. The stanzas of all sessions wait while the next
#: turns handle the requests of these connections: 50 to 100 ms while a thousand clients logged in at once
#: (two busy cores), and a second with 64 connections in a turn.
MAX_ACCEPT = 4


class Listener(pywsgi.WSGIServer):
    """One ``websocket_session`` listener on a listening socket, which other processes may accept from too."""

    #: gevent's number of connections accepted at a time; ``_do_read`` decides before each one.
    max_accept = 1

    def __init__(self, sock: socket.socket, context: ListenerContext) -> None:
        """``sock`` is a listening, non-blocking socket."""
        super().__init__(  # type: ignore[call-overload]
            sock,
            _no_application,
            spawn=gevent.spawn_raw,
            log=None,
            environ={"SERVER_NAME": context.config.ip},  # otherwise gevent asks DNS for it at every start
        )
        self.context = context
        self._accept_share = context.supervisor.accept_share
        self._has_accepted = False
        #: The moments (seconds, monotonic) at which this listener began to leave connections to other
        #: workers, and at which it last did so; the second is 0 while it accepts.
        self._paused_at = self._still_paused_at = 0.0
        self.logger = logging.getLogger("geventwebsocket")
        self.logger.setLevel(logging.WARNING)

    def _do_read(self) -> None:
        """Accept the waiting connections while it is this worker's turn."""
        for _ in range(MAX_ACCEPT):
            now = monotonic()
            if self._must_pause(now):
                self._recheck_later()
                return
            self._has_accepted = False
            super()._do_read()  # type: ignore[misc]
            if not self._has_accepted or self._watcher is None:  # type: ignore[attr-defined]
                return

    def do_read(self) -> tuple[socket.socket, Any] | None:  # type: ignore[override]
        """Accept one connection as a plain socket; gevent's own wrapper is not needed."""
        try:
            accepted: tuple[socket.socket, Any] = self.socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        self._has_accepted = True
        self._accept_share.pending += 1
        return accepted

    def _must_pause(self, now: float) -> bool:
        """Whether other workers still have time to accept the waiting connection."""
        pause = self._accept_share.pause(now)
        if now - self._still_paused_at > PAUSE_ENDS:  # the previous pause is over: this is another connection
            self._paused_at = now
        self._still_paused_at = now if now - self._paused_at < pause else 0.0
        return self._still_paused_at > 0.0

    def _recheck_later(self) -> None:
        """Check after ``RECHECK`` seconds whether the connection still waits."""
        self.stop_accepting()
        self._timer = self.loop.timer(RECHECK)
        self._timer.start(self._start_accepting_if_started)  # type: ignore[attr-defined,call-arg]

    def release(self) -> None:
        """Stop accepting, and leave the socket open for another ``Listener``."""
        self.stop_accepting()
        self._stop_event.set()  # type: ignore[attr-defined]

    def do_close(self, *_args: Any) -> None:
        """Do nothing: ``handle`` closes the accepted socket or passes it on."""

    def handle(self, sock: socket.socket, address: Any) -> None:
        """Serve an accepted connection up to the 101. ``address`` is a tuple, except for a Unix socket."""
        self._accept_share.pending -= 1
        peer_address = (address[0], address[1]) if isinstance(address, tuple) else ("", 0)
        serve_connection(sock, peer_address, self.context, self)


def _no_application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The application that pywsgi requires; ``UpgradeHandler`` answers every request before it."""
    raise AssertionError("a request was not answered by the handler")
