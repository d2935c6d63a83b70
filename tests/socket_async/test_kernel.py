"""The kernel's view of a connection: the state of its peer, and the bytes that have left the machine."""

from __future__ import annotations

import socket
from collections.abc import Callable

import gevent
import pytest

from tests.socket_async.peers import reset
from wsgw.socket_async import PeerState, SocketAsync


@pytest.mark.parametrize(
    ("act", "state"),
    [
        (lambda peer: None, PeerState.ALIVE),
        (lambda peer: peer.sendall(b"x"), PeerState.ALIVE),
        (lambda peer: peer.shutdown(socket.SHUT_WR), PeerState.DRAINING),
        (lambda peer: reset(peer), PeerState.GONE),
    ],
    ids=["alive", "unread data", "FIN", "RST"],
)
def test_the_state_of_a_peer_is_known_without_reading(
    pair: tuple[SocketAsync, socket.socket], act: Callable[[socket.socket], None], state: PeerState
) -> None:
    wrapper, peer = pair
    act(peer)
    with gevent.Timeout(5):
        while wrapper.peer_state() is not state:
            gevent.sleep(0.001)
