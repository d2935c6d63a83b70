"""Asks the kernel for the state of a connection, without reading from its socket."""

from __future__ import annotations

import fcntl
import select
import socket
import sys
import termios
from enum import Enum


class PeerState(Enum):
    """The state of the peer's side of a connection."""

    #: The peer has sent neither FIN nor RST.
    ALIVE = "alive"
    #: The peer has sent FIN; bytes before it may still be unread.
    DRAINING = "draining"
    #: The peer has sent RST, or both directions are shut down.
    GONE = "gone"


def peer_state(sock: socket.socket) -> PeerState:
    """Return the peer's state. A socket that is not read does not report FIN or RST by itself."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    events = dict(poll.poll(0)).get(sock.fileno(), 0)
    if events & (select.POLLERR | select.POLLHUP):
        return PeerState.GONE
    return PeerState.DRAINING if events & select.POLLRDHUP else PeerState.ALIVE


def unsent(sock: socket.socket) -> int:
    """Return the number of bytes in the kernel's send buffer; 0 after the socket was closed."""
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (OSError, ValueError):
        return 0
