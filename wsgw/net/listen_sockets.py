"""Opens the listening sockets of a configuration.

A socket is opened once: a reload keeps the sockets that the new configuration needs, so that no client is
refused meanwhile. ``listener`` accepts connections on them.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from wsgw.config.model import AdminListener, Config, ListenerConfig
from wsgw.errors import ConfigError, ConfigProblem
from wsgw.net.port_holder import Holder, holder_of


class Place(NamedTuple):
    """The address and port of a listener, the key of its socket."""

    ip: str
    port: int
    #: Distinguishes several listeners on port 0, which means any free port.
    number: int = 0

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


def by_place(config: Config) -> dict[Place, ListenerConfig | AdminListener]:
    """Every listener of ``config``, in the order of the configuration, by its place."""
    found: dict[Place, ListenerConfig | AdminListener] = {}
    for listener in config.all_listeners:
        number = sum(place[:2] == (listener.ip, listener.port) for place in found)
        found[Place(listener.ip, listener.port, number)] = listener
    return found


def bind_sockets(config: Config, held: Mapping[Place, socket.socket]) -> dict[Place, socket.socket]:
    """The sockets of the listeners of ``config``: those in ``held``, and new ones, which are bound only.

    Raises ConfigError with every address that cannot be used; no new socket stays open then.
    """
    found: dict[Place, socket.socket] = {}
    problems: list[ConfigProblem] = []
    with ExitStack() as undo:
        for place, listener in by_place(config).items():
            try:
                found[place] = held.get(place) or undo.enter_context(_bind(listener, config, held))
            except ConfigError as error:
                problems.extend(error.problems)
        if problems:
            raise ConfigError(problems)
        undo.pop_all()
    return found


class Use(NamedTuple):
    """Whether a listener could be opened now."""

    listener: ListenerConfig | AdminListener
    #: The program that uses the port; None if the port is free, or that cannot be seen.
    holder: Holder | None = None
    #: Why it could not be opened: another program, the system or a wrong address.
    problems: tuple[ConfigProblem, ...] = ()


def uses(config: Config) -> Iterator[Use]:
    """Whether each listener of ``config`` could be opened now.

    A port that a running wsgw uses, or that systemd holds for it, is no problem.
    """
    for listener in config.all_listeners:
        try:
            _bind(listener, config, ()).close()
        except ConfigError as error:
            holder = holder_of(listener.ip, listener.port)
            known = holder is not None and (holder.is_wsgw or holder.is_systemd)
            yield Use(listener, holder, () if known else error.problems)
        else:
            yield Use(listener)


def unavailable(config: Config) -> list[ConfigProblem]:
    """The problems of all ``uses``."""
    return [problem for use in uses(config) for problem in use.problems]


def open_sockets(config: Config, held: Mapping[Place, socket.socket]) -> dict[Place, socket.socket]:
    """``bind_sockets`` and ``listen`` together. Raises ConfigError as they do."""
    sockets = bind_sockets(config, held)
    try:
        listen(config, sockets)
    except ConfigError:
        for place in sockets.keys() - held.keys():
            sockets[place].close()
        raise
    return sockets


def listen(config: Config, sockets: Mapping[Place, socket.socket]) -> None:
    """Let the system accept connections into the queue of each socket.

    Raises ConfigError if another program listens there by now.
    """
    for place, listener in by_place(config).items():
        with _reported(listener, config):
            sockets[place].listen(listener.backlog)


def _bind(listener: ListenerConfig | AdminListener, config: Config, held: Iterable[Place]) -> socket.socket:
    """A bound socket for ``listener``; on ``::`` it also accepts IPv4, unless another listener has that port.

    Raises ConfigError. ``held``: the places of the sockets that this gateway has already.
    """
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
    """Turn an OSError into a ConfigError with the line of the listener and with advice."""
    try:
        yield
    except OSError as error:
        reason = f"cannot listen on {listener.ip} port {listener.port}: {error.strerror}"
        ours = next((place for place in held if place.port == listener.port), None)
        if error.errno == errno.EADDRINUSE and ours is not None:
            reason += f" by this gateway itself, on {ours}; another ip of a port needs a restart"
        else:
            reason += _advice(error, listener)
        mark = config.mark(listener, "ip") if config.source else config.nowhere
        raise ConfigError([ConfigProblem(mark.file, mark.line, reason)]) from error


def _advice(error: OSError, listener: ListenerConfig | AdminListener) -> str:
    """What the admin can do about ``error``, as the end of a sentence; empty without advice."""
    if error.errno == errno.EADDRINUSE:
        return _other_port(listener)
    if error.errno == errno.EACCES:
        return (
            f": only root and programs with CAP_NET_BIND_SERVICE can listen below {_first_free_port()}: "
            "start wsgw as the service that deploy.sh installs, or as root, or choose another port"
        )
    if ":" in listener.ip and not _has_ipv6():
        return ': this machine has no IPv6: listen on an IPv4 address; "0.0.0.0" means all of them'
    if error.errno == errno.EADDRNOTAVAIL:
        every = "::" if ":" in listener.ip else "0.0.0.0"
        return f": no interface of this machine has this address (ip address): correct it; {every} means all"
    return ""


def _other_port(listener: ListenerConfig | AdminListener) -> str:
    holder = holder_of(listener.ip, listener.port)
    if holder is None:
        return f": stop the program that uses it (ss -tanp sport = :{listener.port}), or choose another port"
    if holder.is_wsgw:
        return f" by {holder}, a gateway: reload it (systemctl reload wsgw), stop it, or choose another port"
    if holder.is_systemd:
        return f" by {holder}, for a socket unit: stop that (systemctl list-sockets), or choose another port"
    return f" by {holder}: stop it, or choose another port"


def _first_free_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text("ascii"))
    except (OSError, ValueError):
        return 1024


def _has_ipv6() -> bool:
    try:
        return bool(Path("/proc/net/if_inet6").read_text("ascii"))
    except OSError:
        return False
