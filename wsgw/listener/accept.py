"""Accepts connections on a listening socket, as many as are this worker's share."""

from __future__ import annotations

import logging
import socket
from time import monotonic
from typing import Any

import gevent
from gevent import pywsgi

from wsgw.capacity.accept_share import PAUSE_ENDS, RECHECK
from wsgw.listener.arrival import receive
from wsgw.listener.entrance import Entrance

#: Connections accepted in one turn of the loop at most: what newcomers ask for in the turns that follow is
#: what everybody else's stanzas wait for. While a thousand logged in at once (two busy cores), that was 50
#: to 100 ms; with 64 at a time it was a second.
MAX_ACCEPT = 4


class Listener(pywsgi.WSGIServer):
    """One ``websocket_session`` listener on a listening socket, which other processes may accept from too."""

    #: Connections accepted at a time, gevent's name; ``_do_read`` looks before each whether it is ours.
    max_accept = 1

    def __init__(self, sock: socket.socket, entrance: Entrance) -> None:
        """``sock`` does not block."""
        super().__init__(  # type: ignore[call-overload]
            sock,
            _no_application,
            spawn=gevent.spawn_raw,
            log=None,
            environ={"SERVER_NAME": entrance.config.ip},  # or it would be asked of the DNS, at every start
        )
        self.entrance = entrance
        self._turn = entrance.supervisor.turn
        self._has_accepted = False
        #: Since when connections have been left to other workers, and when that was last so (monotonic).
        self._paused_at = self._still_paused_at = 0.0
        self.logger = logging.getLogger("geventwebsocket")
        self.logger.setLevel(logging.WARNING)

    def _do_read(self) -> None:
        """Accept the connections that wait, as long as it is this worker's turn."""
        for _ in range(MAX_ACCEPT):
            now = monotonic()
            if self._leaves_it(now):
                self._look_again()
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
        self._turn.pending += 1
        return accepted

    def _leaves_it(self, now: float) -> bool:
        """Whether the connection that waits is for other workers, whose time for it is not over."""
        pause = self._turn.pause(now)
        if now - self._still_paused_at > PAUSE_ENDS:  # another connection has waited since
            self._paused_at = now
        self._still_paused_at = now if now - self._paused_at < pause else 0.0
        return self._still_paused_at > 0.0

    def _look_again(self) -> None:
        """See in a moment whether the connection still waits."""
        self.stop_accepting()
        self._timer = self.loop.timer(RECHECK)
        self._timer.start(self._start_accepting_if_started)  # type: ignore[attr-defined,call-arg]

    def release(self) -> None:
        """Accept no more, and leave the socket open: another listener has it."""
        self.stop_accepting()
        self._stop_event.set()  # type: ignore[attr-defined]

    def do_close(self, *_args: Any) -> None:
        """``handle`` closes, or hands over, what was accepted."""

    def handle(self, sock: socket.socket, address: Any) -> None:
        """Live a connection's life up to the 101; an address of a Unix socket is no pair."""
        self._turn.pending -= 1
        peer_address = (address[0], address[1]) if isinstance(address, tuple) else ("", 0)
        receive(sock, peer_address, self.entrance, self)


def _no_application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """pywsgi wants one; ``UpgradeHandler`` answers every request before it."""
    raise AssertionError("a request was not answered by the handler")
