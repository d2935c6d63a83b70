"""What the kernel knows of a connection, without reading from it."""

from __future__ import annotations

import fcntl
import select
import socket
import sys
import termios
from enum import Enum


class PeerState(Enum):
    """What has come of the peer's side of the connection."""

    ALIVE = "alive"
    #: It has sent FIN; what came before may still be unread.
    DRAINING = "draining"
    #: RST, or both directions are shut.
    GONE = "gone"


def peer_state(sock: socket.socket) -> PeerState:
    """Return the peer's state: a socket that is not being read shows neither FIN nor RST."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    events = dict(poll.poll(0)).get(sock.fileno(), 0)
    if events & (select.POLLERR | select.POLLHUP):
        return PeerState.GONE
    return PeerState.DRAINING if events & select.POLLRDHUP else PeerState.ALIVE


def unsent(sock: socket.socket) -> int:
    """Return how many bytes the kernel has taken and not sent; none once the socket is closed."""
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (OSError, ValueError):
        return 0
