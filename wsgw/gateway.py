"""Wires the gateway of one process together from its settings: the listeners and the supervisor of sessions.

Each worker runs one. With ``serve_forever`` it is a whole gateway in one process.
"""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import gevent
from gevent.event import Event

from wsgw._native.choice import Choice, choice, turn_off
from wsgw.capacity.accept_share import AcceptShare, Beats
from wsgw.capacity.admission import Admission
from wsgw.capacity.table import SharedTable, addresses_for
from wsgw.config.cross_checks import session_limit
from wsgw.config.model import HANDLER, Config, ListenerConfig
from wsgw.config.pem import PemFiles
from wsgw.listener.accept import Listener
from wsgw.listener.context import ListenerContext
from wsgw.mod_websocket import Supervisor
from wsgw.net.listen_sockets import Place, by_place, open_sockets
from wsgw.net.tls import check_tls, listener_context
from wsgw.ops.administration import Administration, Served
from wsgw.ops.announcement import log_start
from wsgw.ops.history import History
from wsgw.ops.http_server import AdminServer
from wsgw.ops.state import StateFile

log = logging.getLogger(__name__)


class Shared(NamedTuple):
    """What the workers of a gateway share. The parent makes it before it forks them."""

    table: SharedTable
    beats: Beats
    #: The state file of the parent.
    state: StateFile
    history: History
    #: The directory in which workers publish their metrics; None to publish none.
    figures: Path | None
    #: The tables of previous parents, which count the connections that these still serve.
    previous_tables: tuple[SharedTable, ...] = ()

    @classmethod
    def make(
        cls, config: Config, slots: int, figures: Path | None = None, previous: tuple[SharedTable, ...] = ()
    ) -> Shared:
        """Make it for at most ``slots`` workers at a time and the ``max_sessions`` of ``config``.

        Raises OSError without memory.
        """
        connections = max(listener.max_sessions for listener in config.listeners)
        table = SharedTable.create(slots, addresses_for(connections))
        return cls(table, Beats(slots), StateFile(), History(), figures, previous)


class Gateway:
    """The gateway of one process. ``start`` begins to accept connections, ``stop`` ends all sessions."""

    def __init__(
        self,
        config: Config,
        files: PemFiles,
        sockets: Mapping[Place, socket.socket],
        shared: Shared,
        slot: int = 0,
        first_id: int = 1,
        *,
        native: bool = True,
    ) -> None:
        """Accept nothing yet.

        ``files``: the content of the PEM files. ``sockets``: the listening socket of each listener.
        ``slot``: the column of this process in ``shared``. ``first_id``: the number of its first
        connection in the log. ``native``: whether this process may use the native functions. Raises
        ConfigError if a certificate cannot be used.
        """
        if not native:
            turn_off("a worker crashed")
        self.config = config
        self.state = shared.state
        room = session_limit()
        admission = Admission(shared.table, slot, shared.previous_tables)
        accept_share = AcceptShare(shared.table, shared.beats, slot, room)
        self.supervisor = Supervisor(config.hosts, admission, accept_share, first_id)
        self.supervisor.trace(config.trace, everything=config.log_level == "debug")
        self._listeners = self._make_listeners(config, files, sockets)
        self._files, self._sockets = files, sockets
        self._administration = self._make_administration(shared, slot, files)
        self._stopping = Event()

    @classmethod
    def alone(cls, config: Config) -> Gateway:
        """A gateway in this process alone. It opens the sockets; raises ConfigError if that fails."""
        files = PemFiles.of(config)
        check_tls(config, files)
        sockets = open_sockets(config, {})
        shared = Shared.make(config, 1)
        shared.beats.use_slot(0)
        return cls(config, files, sockets, shared)

    @property
    def listeners(self) -> list[Listener]:
        """The listeners, in the order of the configuration."""
        return list(self._listeners.values())

    def start(self) -> None:
        """Accept connections from now on."""
        self.supervisor.start()
        for listener in self.listeners:
            listener.start()
        if self._administration is not None:
            self._administration.start()
            self._administration.apply(self.config, self._files, self._sockets)

    def apply(self, config: Config, files: PemFiles, sockets: Mapping[Place, socket.socket]) -> None:
        """Use new settings for the connections that are accepted from now on.

        ``sockets``: the listening socket of each listener of ``config``. Accepted connections keep the
        settings they began with. Raises ConfigError, before any change, if a certificate cannot be used.
        """
        listeners = self._make_listeners(config, files, sockets)
        previous, self._listeners, self.config = self._listeners, listeners, config
        self._files, self._sockets = files, sockets
        for listener in previous.values():
            listener.release()
        self.supervisor.serve_hosts(config.hosts)
        self.supervisor.trace(config.trace, everything=config.log_level == "debug")
        for listener in self.listeners:
            listener.start()
        for place in previous.keys() - listeners.keys():
            previous[place].close()
        if self._administration is not None:
            self._administration.apply(config, files, sockets)

    def stop_accepting(self) -> None:
        """Accept no more connections, and close the listening sockets, so that their ports are free."""
        self.supervisor.stop_accepting()
        for listener in self.listeners:
            listener.close()
        self._listeners = {}
        if self._administration is not None:
            self._administration.stop_accepting()

    def retire(self) -> None:
        """Accept no more connections, and return when the last accepted one has ended."""
        self.stop_accepting()
        self.supervisor.wait_until_idle()
        self._answer_the_admin()

    def drain(self) -> None:
        """Refuse new sessions, end the running ones over ``drain_timeout``, then stop."""
        self.supervisor.drain(self.config.drain_timeout)
        self.stop_accepting()
        self._answer_the_admin()
        self.stop()

    def stop(self) -> None:
        """Accept no more connections, and stop at once; running sessions are not ended in order."""
        self.stop_accepting()
        self.supervisor.stop()
        if self._administration is not None:
            self._administration.stop()

    def _answer_the_admin(self) -> None:
        if self._administration is not None:
            self._administration.wait_until_idle()

    def serve_forever(self, started: Callable[[], None] | None = None) -> None:
        """Start, call ``started``, and drain on SIGTERM or SIGINT; a second signal ends at once."""
        handlers = [
            gevent.signal_handler(number, self._signalled) for number in (signal.SIGTERM, signal.SIGINT)
        ]
        log_unhandled()
        try:
            log_start(self.config, self._files, native_functions())
            self.start()
            if started is not None:
                started()
            self._stopping.wait()
            log.info("stopping, %d sessions", len(self.supervisor.sessions))
            self.drain()
        finally:
            for handler in handlers:
                handler.cancel()

    def _signalled(self, *_args: FrameType | int | None) -> None:
        if self._stopping.is_set():
            raise SystemExit(1)
        self._stopping.set()

    def _make_listeners(
        self, config: Config, files: PemFiles, sockets: Mapping[Place, socket.socket]
    ) -> dict[Place, Listener]:
        return {
            place: Listener(sockets[place], self._context(listener, config, files))
            for place, listener in by_place(config).items()
            if isinstance(listener, ListenerConfig)
        }

    def _context(self, listener: ListenerConfig, config: Config, files: PemFiles) -> ListenerContext:
        tls = listener_context(listener, config, files)
        return ListenerContext.of(listener, config, tls, files, self.supervisor)

    def _make_administration(self, shared: Shared, slot: int, files: PemFiles) -> Administration | None:
        if shared.figures is None:
            return None
        supervisor = self.supervisor
        served = Served(
            tally=supervisor.tally,
            survey=supervisor.survey,
            draining=lambda: supervisor.draining,
            connections=lambda: supervisor.admission.connections,
            probes=lambda: [listener.context.upstream.probe for listener in self.listeners],
            sessions=lambda: supervisor.sessions,
            trace=supervisor.trace_session,
        )
        return Administration(shared.figures, slot, shared.state, shared.history, served, self.config, files)


def listener_url(config: ListenerConfig) -> str:
    """The URL of a listener for clients; behind a proxy, clients may have another one."""
    host = f"[{config.ip}]" if ":" in config.ip else config.ip
    path = next(iter(config.url_paths(HANDLER)), "/")
    return f"{'wss' if config.tls else 'ws'}://{host}:{config.port}{path}"


def native_functions() -> Choice:
    """The native functions that this process uses, or why it uses none; as a text for the log."""
    return choice()


def log_unhandled() -> None:
    """Log the exceptions that no code catches; gevent would write them to standard error, which may block."""
    gevent.get_hub().print_exception = _log_unhandled  # type: ignore[method-assign,assignment]
    sys.unraisablehook = _log_unraisable


def _log_unraisable(found: sys.UnraisableHookArgs) -> None:
    """Log an exception in a callback of C code.

    A client's server name that is not ASCII gives one in ``ssl``: its handshake fails, and has a log line.
    """
    if not (isinstance(found.exc_value, UnicodeDecodeError) and isinstance(found.object, bytes)):
        _log_unhandled(None, found.exc_type, found.exc_value, found.exc_traceback)


def _log_unhandled(source: object, kind: Any, value: Any, traceback: Any) -> None:
    if isinstance(source, Listener | AdminServer) and isinstance(value, OSError):
        # gevent accepts again after a pause, which grows to a second.
        url = listener_url(source.context.config) if isinstance(source, Listener) else source.url
        log.error("%s accepts no connections: %s", url, value.strerror)
    else:
        log.error("fault in the gateway", exc_info=(kind, value, traceback))
