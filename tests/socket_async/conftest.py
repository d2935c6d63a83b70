"""A wrapper and the plain socket at its other end."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import gevent
import pytest

from tests.socket_async.peers import client_of, server_context
from tests.support.certificates import Certificate
from tests.support.here import in_thread
from wsgw.socket_async import SocketAsync


@pytest.fixture
def pair() -> Iterator[tuple[SocketAsync, socket.socket]]:
    """(the wrapper, a plain blocking socket at its other end), over TCP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        sock, _ = listener.accept()
    peer.settimeout(5)
    wrapper = SocketAsync(sock)
    yield wrapper, peer
    wrapper.close()
    peer.close()


@pytest.fixture
def tls_pair(
    pair: tuple[SocketAsync, socket.socket], certificate: Certificate
) -> Iterator[tuple[SocketAsync, ssl.SSLSocket]]:
    wrapper, peer = pair
    handshake = gevent.spawn(wrapper.start_tls, server_context(certificate), server_side=True)
    client = in_thread(client_of, certificate, peer)
    handshake.get(timeout=5)
    yield wrapper, client
    client.close()
