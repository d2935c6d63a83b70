"""What a parent inherits: listening sockets of systemd, and sockets and tables of the previous parent.

A listener takes over the socket with its address and port. A socket from systemd stays open as long as this
process lives, whether a listener uses it or not: systemd decides whether the port is open.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import NamedTuple

from wsgw.capacity.table import SharedTable
from wsgw.config.model import Config
from wsgw.net.listen_sockets import Place, by_place
from wsgw.processes.control import Channel
from wsgw.processes.systemd import activated_sockets

log = logging.getLogger(__name__)

#: The environment variable by which a parent tells its successor about them, in JSON (``described``).
VARIABLE = "WSGW_UPGRADE"


class Inherited(NamedTuple):
    """The sockets, the channel and the tables that a parent inherits when it starts."""

    #: The listening sockets of the previous parent.
    handed_over: dict[Place, socket.socket]
    #: The sockets that systemd listens on (socket activation).
    activated: list[socket.socket]
    #: The channel to the previous parent; None if this process is not part of an upgrade.
    predecessor: Channel | None
    #: The tables of connections of all previous parents.
    tables: tuple[SharedTable, ...] = ()

    @classmethod
    def find(cls, environment: MutableMapping[str, str]) -> Inherited:
        """Read ``environment``, and remove the variables that were read."""
        activated = activated_sockets(environment)
        handover = environment.pop(VARIABLE, "")
        if not handover:
            return cls({}, activated, None)
        message = json.loads(handover)
        handed_over = {Place(*place): _taken(number) for number, place in message["sockets"]}
        activated += [_taken(number) for number in message["activated"]]
        link = Channel(_taken(message["link"]))
        tables = [SharedTable.handed_over(_closed_on_exec(number)) for number in message.get("tables", ())]
        return cls(handed_over, activated, link, tuple(table for table in tables if table is not None))

    def close_unused(self, used: Mapping[Place, socket.socket]) -> None:
        """Close the sockets of the previous parent that no listener uses any more."""
        for place in self.handed_over.keys() - used.keys():
            self.handed_over[place].close()


def wanted_sockets(
    config: Config, held: Mapping[Place, socket.socket], activated: Sequence[socket.socket]
) -> dict[Place, socket.socket]:
    """The sockets for the listeners of ``config``, as far as ``held`` or ``activated`` has them.

    ``held``: the sockets that this parent has. ``activated``: systemd's sockets.
    """
    found = {place: held[place] for place in by_place(config) if place in held}
    for sock in activated:
        place = _match(sock, [place for place in by_place(config) if place not in found])
        if place is not None:
            found[place] = sock
            log.info("takes over the socket on %s from systemd", _name(sock))
        elif sock not in found.values():
            log.warning("systemd listens on %s, for which there is no listener", _name(sock))
    return found


def described(
    sockets: Mapping[Place, socket.socket],
    activated: list[socket.socket],
    link: Channel,
    tables: Iterable[SharedTable],
) -> str:
    """The value of ``VARIABLE`` for the next parent, which must inherit the descriptors in it."""
    return json.dumps(
        {
            "link": link.fileno(),
            "sockets": [(sock.fileno(), place) for place, sock in sockets.items() if sock not in activated],
            "activated": [sock.fileno() for sock in activated],
            "tables": [table.fileno() for table in tables],
        }
    )


def _taken(number: int) -> socket.socket:
    sock = socket.socket(fileno=_closed_on_exec(number))
    sock.setblocking(False)
    return sock


def _closed_on_exec(number: int) -> int:
    os.set_inheritable(number, False)
    return number


def _match(sock: socket.socket, wanted: list[Place]) -> Place | None:
    """The place on which ``sock`` listens; a socket on ``::`` that accepts IPv4 also serves 0.0.0.0."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
        return None
    ip, port = sock.getsockname()[:2]
    exact = next((place for place in wanted if place[:2] == (ip, port)), None)
    if exact is not None or ip != "::" or sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return exact
    return next((place for place in wanted if place[:2] == ("0.0.0.0", port)), None)


def _name(sock: socket.socket) -> str:
    name = sock.getsockname()
    return str(Place(name[0], name[1])) if isinstance(name, tuple) else str(name)
