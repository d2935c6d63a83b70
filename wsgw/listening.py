"""The sockets a gateway listens on: which a configuration asks for, and how they are opened.

They are opened once and kept: a reload takes over those it still needs, so that nobody who connects
meanwhile is refused. Nothing here accepts; see ``listener``.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from wsgw.config.model import AdminListener, Config, ListenerConfig
from wsgw.errors import ConfigError, ConfigProblem


class Place(NamedTuple):
    """Where a listener listens."""

    ip: str
    port: int
    #: Tells listeners on port 0, which is any, apart.
    number: int = 0

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


def places(config: Config) -> list[Place]:
    """The places of ``config.all_listeners``, in their order."""
    found: list[Place] = []
    for listener in config.all_listeners:
        number = sum(place[:2] == (listener.ip, listener.port) for place in found)
        found.append(Place(listener.ip, listener.port, number))
    return found


def bind_sockets(config: Config, held: Mapping[Place, socket.socket]) -> dict[Place, socket.socket]:
    """Return the sockets of the listeners of ``config``: those of ``held``, and new ones, only bound.

    Raises ConfigError if an address cannot be had; no new socket is left open then.
    """
    found: dict[Place, socket.socket] = {}
    with ExitStack() as undo:
        for place, listener in zip(places(config), config.all_listeners, strict=True):
            found[place] = held.get(place) or undo.enter_context(_bind(listener, config, held))
        undo.pop_all()
    return found


def open_sockets(config: Config, held: Mapping[Place, socket.socket]) -> dict[Place, socket.socket]:
    """``bind_sockets``, and let all of them listen. Raises ConfigError likewise."""
    sockets = bind_sockets(config, held)
    try:
        listen(config, sockets)
    except ConfigError:
        for place in sockets.keys() - held.keys():
            sockets[place].close()
        raise
    return sockets


def listen(config: Config, sockets: Mapping[Place, socket.socket]) -> None:
    """Let the system take connections. Raises ConfigError if another program listens there by now."""
    for place, listener in zip(places(config), config.all_listeners, strict=True):
        with _reported(listener, config):
            sockets[place].listen(listener.backlog)


def _bind(listener: ListenerConfig | AdminListener, config: Config, held: Iterable[Place]) -> socket.socket:
    """On ``::`` it takes IPv4 too, unless another listener has the port there."""
    family = socket.AF_INET6 if ":" in listener.ip else socket.AF_INET
    with _reported(listener, config, held), ExitStack() as undo:
        sock = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            on_ipv4 = any(
                other.port == listener.port and ":" not in other.ip for other in config.all_listeners
            )
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(listener.ip != "::" or on_ipv4))
        sock.bind((listener.ip, listener.port))
        undo.pop_all()
    return sock


@contextmanager
def _reported(
    listener: ListenerConfig | AdminListener, config: Config, held: Iterable[Place] = ()
) -> Iterator[None]:
    """Turn an OSError into the ConfigError an admin can act on."""
    try:
        yield
    except OSError as error:
        reason = f"cannot listen on {listener.ip} port {listener.port}: {error.strerror}"
        ours = next((place for place in held if place.port == listener.port), None)
        if error.errno == errno.EADDRINUSE and ours is not None:
            reason += f" by this gateway itself, on {ours}; another ip of a port needs a restart"
        raise ConfigError([ConfigProblem(config.source or "command line", 0, reason)]) from error
