"""Wires a gateway together from its settings: sockets, listeners, supervisor, signals."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import gevent
from gevent.event import Event

from wsgw import __version__
from wsgw.config.model import Config, ListenerConfig
from wsgw.errors import ConfigError, ConfigProblem
from wsgw.forwarded import TrustedProxies
from wsgw.listener import Listener
from wsgw.mod_websocket import Supervisor

log = logging.getLogger(__name__)


class Gateway:
    """A running gateway; ``start`` listens, ``stop`` ends every session and returns."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError if a listener's certificate cannot be used or its address cannot be bound."""
        self.config = config
        self.supervisor = Supervisor(config.hosts)
        trusted = TrustedProxies(config.trusted_proxies, trust_all=config.trust_all_proxies)
        self.listeners: list[Listener] = []
        try:
            for listener in config.listeners:
                sock = _listen(listener, config.source)
                self.listeners.append(Listener(sock, listener, self.supervisor, trusted))
        except ConfigError:
            self._close_listeners()
            raise
        self._stopping = Event()

    def start(self) -> None:
        """Accept connections from now on."""
        for warning in self.config.warnings:
            log.warning("%s", warning)
        self.supervisor.start()
        for listener in self.listeners:
            listener.start()
            log.info(
                "wsgw %s listens on %s, upstream %s, hosts %s",
                __version__,
                listener_url(listener.config),
                ", ".join(map(str, listener.config.upstream)),
                ", ".join(self.config.hosts),
            )

    def stop(self) -> None:
        """Stop accepting, end every session within ``drain_timeout``."""
        self._close_listeners()
        self.supervisor.end_all(self.config.drain_timeout)
        self.supervisor.stop()

    def serve_forever(self, started: Callable[[], None] | None = None) -> None:
        """Start, call ``started``, and stop on SIGTERM or SIGINT; a second signal ends at once."""
        handlers = [
            gevent.signal_handler(number, self._signalled) for number in (signal.SIGTERM, signal.SIGINT)
        ]
        self.start()
        try:
            if started is not None:
                started()
            self._stopping.wait()
            log.info("stopping, %d sessions", len(self.supervisor.sessions))
            self.stop()
        finally:
            for handler in handlers:
                handler.cancel()

    def _signalled(self, *_args: FrameType | int | None) -> None:
        if self._stopping.is_set():
            raise SystemExit(1)
        self._stopping.set()

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            listener.close()
        self.listeners.clear()


def listener_url(config: ListenerConfig) -> str:
    """The URL clients use, as far as the listener knows it."""
    host = f"[{config.ip}]" if ":" in config.ip else config.ip
    path = "/".join(config.request_handlers[0].path) if config.request_handlers else ""
    return f"{'wss' if config.tls else 'ws'}://{host}:{config.port}/{path}"


def _listen(config: ListenerConfig, source: str) -> socket.socket:
    """Return a listening socket; an IPv6 one takes IPv6 only, so that both families can be listed."""
    family = socket.AF_INET6 if ":" in config.ip else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(config.ip != "::"))
        sock.bind((config.ip, config.port))
        sock.listen(config.backlog)
    except OSError as error:
        sock.close()
        reason = f"cannot listen on {config.ip} port {config.port}: {error.strerror}"
        raise ConfigError([ConfigProblem(source or "command line", 0, reason)]) from error
    return sock
