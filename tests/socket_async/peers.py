"""The owner of a wrapper, and its peer."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable

import gevent
from gevent.event import Event

from tests.support.certificates import Certificate
from wsgw.socket_async import SocketAsync


class Owner:
    """Notes deliveries; asks for the next one if ``again`` is true."""

    def __init__(self, wrapper: SocketAsync, again: bool = True) -> None:
        self.got: list[bytes] = []
        self.drained = Event()
        self._wrapper = wrapper
        self._again = again
        wrapper.attach(self._deliver, self.drained.set)
        wrapper.active_once()

    def _deliver(self, data: bytes) -> None:
        self.got.append(data)
        if data and self._again:
            self._wrapper.active_once()

    def wait_for(self, count: int) -> None:
        with gevent.Timeout(5):
            while len(self.got) < count:
                gevent.sleep(0.001)


def turns_of_the_loop(count: int = 20) -> None:
    for _ in range(count):
        gevent.sleep(0)


def server_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.pem)
    return context


def client_of(certificate: Certificate, peer: socket.socket) -> ssl.SSLSocket:
    return ssl.create_default_context(cafile=str(certificate.ca)).wrap_socket(
        peer, server_hostname="localhost"
    )


def while_an_event_waits(step: Callable[[], int]) -> int:
    """Run ``step`` in the first of two events of one turn of the loop; return its result."""
    results: list[int] = []

    def once(_data: bytes) -> None:
        if not results:
            results.append(step())

    pairs = [socket.socketpair() for _ in range(2)]
    for near, far in pairs:
        sock = SocketAsync(near)
        sock.attach(once, lambda: None)
        sock.active_once()
        far.sendall(b"an event")
    with gevent.Timeout(5):
        while not results:
            gevent.sleep(0.01)
    for near, far in pairs:
        near.close()
        far.close()
    return results[0]


def read_exactly(sock: socket.socket, size: int) -> None:
    while size:
        size -= len(sock.recv(min(size, 1 << 20)))


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
