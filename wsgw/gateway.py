"""Wires a gateway together from its settings: sockets, listeners, supervisor, signals."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import gevent
from gevent.event import Event

from wsgw import __version__
from wsgw.config.model import Config, ListenerConfig
from wsgw.errors import ConfigError, ConfigProblem
from wsgw.forwarded import TrustedProxies
from wsgw.listener import Listener
from wsgw.mod_websocket import Supervisor
from wsgw.tls import check_tls

log = logging.getLogger(__name__)


class Gateway:
    """A running gateway; ``start`` listens, ``stop`` ends every session and returns."""

    def __init__(self, config: Config) -> None:
        """Raises ConfigError if a listener's certificate cannot be used or its address cannot be bound."""
        check_tls(config)
        self.config = config
        self.supervisor = Supervisor(config.hosts)
        trusted = TrustedProxies(config.trusted_proxies, trust_all=config.trust_all_proxies)
        self.listeners: list[Listener] = []
        try:
            for listener in config.listeners:
                sock = _bind(listener, config)
                self.listeners.append(Listener(sock, listener, self.supervisor, trusted))
        except ConfigError:
            self._close_listeners()
            raise
        self._stopping = Event()

    def start(self) -> None:
        """Accept connections from now on. Raises ConfigError if another program listens there by now."""
        for warning in self.config.warnings:
            log.warning("%s", warning)
        self.supervisor.start()
        for listener in self.listeners:
            with _reported(listener.config, self.config):
                listener.socket.listen(listener.config.backlog)
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
        handlers.append(gevent.signal_handler(signal.SIGHUP, _no_reload))
        gevent.get_hub().print_exception = _log_unhandled  # type: ignore[method-assign,assignment]
        try:
            self.start()
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


def _no_reload(*_args: FrameType | int | None) -> None:
    """A hang-up must not cut everyone off, as it would by default."""
    log.warning("SIGHUP: this version reads its configuration at start only; restart it to apply changes")


def _log_unhandled(context: object, kind: Any, value: Any, traceback: Any) -> None:
    """What nobody caught goes to the log; gevent would write it to standard error, and block on it."""
    if isinstance(context, Listener) and isinstance(value, OSError):
        # gevent tries again after a pause, which grows to a second.
        log.error("%s accepts nobody for now: %s", listener_url(context.config), value.strerror)
    else:
        log.error("fault in the gateway", exc_info=(kind, value, traceback))


def _bind(listener: ListenerConfig, config: Config) -> socket.socket:
    """Return a socket that will listen once signals are handled: who sees the port may send one.

    On ``::`` it takes IPv4 too, unless another listener has the port there.
    """
    family = socket.AF_INET6 if ":" in listener.ip else socket.AF_INET
    with _reported(listener, config), ExitStack() as undo:
        sock = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            on_ipv4 = any(other.port == listener.port and ":" not in other.ip for other in config.listeners)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(listener.ip != "::" or on_ipv4))
        sock.bind((listener.ip, listener.port))
        undo.pop_all()
    return sock


@contextmanager
def _reported(listener: ListenerConfig, config: Config) -> Iterator[None]:
    """Turn an OSError into the ConfigError an admin can act on."""
    try:
        yield
    except OSError as error:
        reason = f"cannot listen on {listener.ip} port {listener.port}: {error.strerror}"
        raise ConfigError([ConfigProblem(config.source or "command line", 0, reason)]) from error
