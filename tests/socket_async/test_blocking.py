"""Blocking reads and writes, as before the 101."""

from __future__ import annotations

import errno
import socket
import struct

import gevent
import pytest

from tests.socket_async.peers import read_exactly, reset
from tests.support.here import in_thread
from wsgw.errors import HandshakeRefused
from wsgw.opening.head_reader import HeadReader
from wsgw.socket_async import SocketAsync


def test_recv_gives_the_bytes_put_back_first(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    peer.sendall(b"abcdef")
    assert wrapper.recv() == b"abcdef"
    wrapper.unread(b"cdef")
    assert wrapper.recv() == b"cdef"
    peer.shutdown(socket.SHUT_WR)
    assert wrapper.recv() == b""


def test_the_reader_leaves_the_bytes_after_the_head(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    peer.sendall(b"one\r\ntwo\r\n\r\nfirst frame")
    reader = HeadReader(wrapper, 100)
    assert [reader.readline() for _ in range(3)] == [b"one\r\n", b"two\r\n", b"\r\n"]
    assert wrapper.recv() == b"first frame"


def test_the_reader_refuses_a_head_above_its_limit(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    peer.sendall(b"a" * 60 + b"\r\n" + b"b" * 60)
    reader = HeadReader(wrapper, 100)
    assert reader.readline() == b"a" * 60 + b"\r\n"
    with pytest.raises(HandshakeRefused, match="431"):
        reader.readline()


def test_sendall_waits_for_a_slow_peer(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    size = 20_000_000
    sender = gevent.spawn(wrapper.sendall, b"x" * size)
    in_thread(read_exactly, peer, size)
    sender.get(timeout=5)
    assert wrapper.outbox.queued == 0
    assert wrapper.outbox.progress == size


@pytest.mark.rule("bytes-vanish")
def test_sendall_to_a_vanished_peer_fails(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    reset(peer)
    with pytest.raises(OSError, match="gone"), gevent.Timeout(5):
        while True:
            wrapper.sendall(b"x")


def test_a_blocking_write_to_a_lost_peer_names_the_errno(pair: tuple[SocketAsync, socket.socket]) -> None:
    """By the errno pywsgi knows that it is no fault of the gateway."""
    wrapper, peer = pair
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    with pytest.raises(BrokenPipeError) as caught, gevent.Timeout(5):
        while True:
            wrapper.sendall(b"HTTP/1.1 400 Bad request\r\n\r\n")
    assert caught.value.args[0] == errno.EPIPE
