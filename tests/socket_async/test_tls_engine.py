"""TLS: both ways, and how it ends."""

from __future__ import annotations

import socket
import ssl

import gevent

from tests.socket_async.peers import Owner
from wsgw.socket_async import SocketAsync


def test_tls_carries_bytes_both_ways(tls_pair: tuple[SocketAsync, ssl.SSLSocket]) -> None:
    wrapper, client = tls_pair
    owner = Owner(wrapper)
    client.sendall(b"x" * 50_000)
    with gevent.Timeout(5):
        while sum(map(len, owner.got)) < 50_000:
            gevent.sleep(0.001)
    wrapper.send(b"answer")
    gevent.sleep(0)
    assert client.recv(100) == b"answer"
    assert wrapper.tls_parameters is not None


def test_a_close_notify_is_an_orderly_end(tls_pair: tuple[SocketAsync, ssl.SSLSocket]) -> None:
    wrapper, client = tls_pair
    owner = Owner(wrapper)
    client.sendall(b"last")
    ending = gevent.get_hub().threadpool.spawn(client.unwrap)
    owner.wait_for(2)
    assert b"".join(owner.got) == b"last"
    assert owner.got[-1] == b""
    assert not wrapper.reset
    gevent.spawn(wrapper.linger, 1.0, 0.1)
    ending.get(timeout=5)


def test_a_bare_fin_is_a_loss(tls_pair: tuple[SocketAsync, ssl.SSLSocket]) -> None:
    wrapper, client = tls_pair
    owner = Owner(wrapper)
    socket.socket(fileno=client.detach()).close()
    owner.wait_for(1)
    assert owner.got == [b""]
    assert wrapper.reset


def test_garbage_instead_of_tls_is_a_loss(tls_pair: tuple[SocketAsync, ssl.SSLSocket]) -> None:
    wrapper, client = tls_pair
    owner = Owner(wrapper)
    with socket.socket(fileno=client.detach()) as raw:
        raw.sendall(b"this is no TLS record")
        owner.wait_for(1)
    assert owner.got == [b""]
