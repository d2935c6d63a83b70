"""Wires one process's gateway together from its settings: listeners on sockets, and the supervisor.

It is what a worker runs, and, with ``serve_forever``, a whole gateway in one process.
"""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import gevent
from gevent.event import Event

from wsgw import __version__
from wsgw.capacity.accept_share import Beats, Turn
from wsgw.capacity.admission import Admission
from wsgw.capacity.table import SharedTable, addresses_for
from wsgw.config.cross_checks import session_limit
from wsgw.config.model import Config, ListenerConfig
from wsgw.config.pem import PemFiles
from wsgw.listener.accept import Listener
from wsgw.listener.entrance import Entrance
from wsgw.mod_websocket import Supervisor
from wsgw.net.listen_sockets import Place, by_place, open_sockets
from wsgw.net.tls import browser_context, check_tls
from wsgw.opening.client_address import TrustedProxies
from wsgw.ops.administration import Administration, Served
from wsgw.ops.http_server import AdminServer
from wsgw.ops.state import StateFile

log = logging.getLogger(__name__)


class Shared(NamedTuple):
    """What the workers of a gateway have in common; made before they are forked."""

    table: SharedTable
    beats: Beats
    #: What the parent says of itself.
    state: StateFile
    #: Where workers publish their figures; None if nobody is to see them.
    figures: Path | None
    #: Where parents before ours count what they still serve.
    formers: tuple[SharedTable, ...] = ()

    @classmethod
    def make(
        cls, config: Config, slots: int, figures: Path | None = None, formers: tuple[SharedTable, ...] = ()
    ) -> Shared:
        """For ``slots`` workers at a time; ``config`` says how many connections to expect."""
        connections = max(listener.max_sessions for listener in config.listeners)
        table = SharedTable.create(slots, addresses_for(connections))
        return cls(table, Beats(slots), StateFile(), figures, formers)


class Gateway:
    """A running gateway; ``start`` accepts, ``stop`` ends every session and returns."""

    def __init__(
        self,
        config: Config,
        files: PemFiles,
        sockets: Mapping[Place, socket.socket],
        shared: Shared,
        slot: int = 0,
        first_id: int = 1,
    ) -> None:
        """``slot`` is this process's own among the workers. Raises ConfigError for a certificate."""
        self.config = config
        self.state = shared.state
        room = session_limit()
        admission = Admission(shared.table, slot, shared.formers)
        turn = Turn(shared.table, shared.beats, slot, room)
        self.supervisor = Supervisor(config.hosts, admission, turn, first_id)
        self.supervisor.trace(config.trace, everything=config.log_level == "debug")
        self._listeners = self._make_listeners(config, files, sockets)
        self._files, self._sockets = files, sockets
        self._administration = self._make_administration(shared, slot, files)
        self._stopping = Event()

    @classmethod
    def alone(cls, config: Config) -> Gateway:
        """A gateway of one process, on sockets of its own. Raises ConfigError if it cannot listen."""
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
        """Take new settings, for the connections that come from now on.

        ``sockets`` are those of all its listeners. Raises ConfigError for a certificate, and nothing
        is changed then. Connections that have been accepted go on by the settings they began with.
        """
        listeners = self._make_listeners(config, files, sockets)
        former, self._listeners, self.config = self._listeners, listeners, config
        for listener in former.values():
            listener.release()
        self.supervisor.serve_hosts(config.hosts)
        self.supervisor.trace(config.trace, everything=config.log_level == "debug")
        for listener in self.listeners:
            listener.start()
        for place in former.keys() - listeners.keys():
            former[place].close()
        if self._administration is not None:
            self._administration.apply(config, files, sockets)

    def leave(self) -> None:
        """Accept no more, and close our ends of the sockets: somebody else may want their ports."""
        self.supervisor.leave()
        for listener in self.listeners:
            listener.close()
        self._listeners = {}
        if self._administration is not None:
            self._administration.stop_accepting()

    def retire(self) -> None:
        """Accept no more, serve what was accepted, and return when all of it is gone."""
        self.leave()
        self.supervisor.wait_until_idle()
        self._answer_the_admin()

    def drain(self) -> None:
        """Refuse new sessions, end those there are within ``drain_timeout``, then stop."""
        self.supervisor.drain(self.config.drain_timeout)
        self.leave()
        self._answer_the_admin()
        self.stop()

    def stop(self) -> None:
        """Accept no more, and end without looking after the sessions."""
        self.leave()
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
            log_start(self.config)
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
        trusted = TrustedProxies(config.trusted_proxies, trust_all=config.trust_all_proxies)
        return {
            place: Listener(sockets[place], self._entrance(listener, trusted, files))
            for place, listener in by_place(config).items()
            if isinstance(listener, ListenerConfig)
        }

    def _entrance(self, config: ListenerConfig, trusted: TrustedProxies, files: PemFiles) -> Entrance:
        tls = browser_context(config.certfile, files) if config.tls and config.certfile else None
        return Entrance.of(config, tls, trusted, files, self.supervisor)

    def _make_administration(self, shared: Shared, slot: int, files: PemFiles) -> Administration | None:
        if shared.figures is None:
            return None
        supervisor = self.supervisor
        served = Served(
            tally=supervisor.tally,
            survey=supervisor.survey,
            draining=lambda: supervisor.draining,
            connections=lambda: supervisor.admission.connections,
            probes=lambda: [listener.entrance.upstream.probe for listener in self.listeners],
        )
        return Administration(shared.figures, slot, shared.state, served, self.config, files)


def listener_url(config: ListenerConfig) -> str:
    """The URL clients use, as far as the listener knows it."""
    host = f"[{config.ip}]" if ":" in config.ip else config.ip
    path = "/".join(config.request_handlers[0].path) if config.request_handlers else ""
    return f"{'wss' if config.tls else 'ws'}://{host}:{config.port}/{path}"


def log_start(config: Config) -> None:
    """Say what is served from now on, and what is likely not meant."""
    for warning in config.warnings:
        log.warning("%s", warning)
    for listener in config.listeners:
        log.info(
            "wsgw %s listens on %s, upstream %s, hosts %s",
            __version__,
            listener_url(listener),
            ", ".join(map(str, listener.upstream)),
            ", ".join(config.hosts),
        )


def log_unhandled() -> None:
    """Let what nobody caught go to the log; gevent would write it to standard error, and block on it."""
    gevent.get_hub().print_exception = _log_unhandled  # type: ignore[method-assign,assignment]


def _log_unhandled(context: object, kind: Any, value: Any, traceback: Any) -> None:
    if isinstance(context, Listener | AdminServer) and isinstance(value, OSError):
        # gevent tries again after a pause, which grows to a second.
        url = listener_url(context.entrance.config) if isinstance(context, Listener) else context.url
        log.error("%s accepts no connections: %s", url, value.strerror)
    else:
        log.error("fault in the gateway", exc_info=(kind, value, traceback))
