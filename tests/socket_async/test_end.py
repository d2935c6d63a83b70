"""The state of a peer, and how a connection is closed with linger."""

from __future__ import annotations

import socket
import time

import gevent
import pytest

from wsgw.socket_async import SocketAsync


def test_linger_flushes_and_sends_fin(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    wrapper.send(b"goodbye")
    ending = gevent.spawn(wrapper.linger, 1.0, 1.0)
    gevent.sleep(0.05)
    assert peer.recv(100) == b"goodbye"
    assert peer.recv(100) == b""
    peer.close()
    ending.get(timeout=5)
    assert wrapper.closed


@pytest.mark.rule("6455-7.1.1")
def test_linger_reads_the_bytes_that_would_cause_an_rst(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    peer.sendall(b"unread" * 1000)
    ending = gevent.spawn(wrapper.linger, 1.0, 1.0)
    gevent.sleep(0.05)
    assert peer.recv(100) == b""
    peer.sendall(b"still talking")
    peer.shutdown(socket.SHUT_WR)
    ending.get(timeout=5)


def test_linger_gives_up_in_time(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, _ = pair
    started = time.monotonic()
    with gevent.Timeout(5):
        wrapper.linger(0.1, 0.2)
    assert time.monotonic() - started > 0.15
    assert wrapper.closed
