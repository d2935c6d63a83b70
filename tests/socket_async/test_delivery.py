"""Active once: one delivery for each request."""

from __future__ import annotations

import socket
import time

import gevent
import pytest

from tests.socket_async.peers import Owner, reset, turns_of_the_loop
from wsgw.socket_async import SocketAsync


def test_each_request_is_one_delivery(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    owner = Owner(wrapper, again=False)
    peer.sendall(b"one")
    owner.wait_for(1)
    peer.sendall(b"two")
    turns_of_the_loop()
    assert owner.got == [b"one"]
    assert not wrapper.armed
    wrapper.active_once()
    owner.wait_for(2)
    assert owner.got == [b"one", b"two"]


@pytest.mark.perf
def test_unread_data_does_not_spin_the_loop(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    owner = Owner(wrapper, again=False)
    peer.sendall(b"one")
    owner.wait_for(1)
    peer.sendall(b"unread")
    before = time.process_time()
    gevent.sleep(0.3)
    assert time.process_time() - before < 0.1


def test_buffered_bytes_are_delivered_without_recursion(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, _ = pair
    wrapper.unread(b"x" * (3 * wrapper.read_size))
    owner = Owner(wrapper)
    assert owner.got == []
    owner.wait_for(3)
    assert [len(chunk) for chunk in owner.got] == [wrapper.read_size] * 3


def test_a_fin_is_an_empty_delivery(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    owner = Owner(wrapper)
    peer.sendall(b"last")
    peer.shutdown(socket.SHUT_WR)
    owner.wait_for(2)
    assert owner.got == [b"last", b""]
    assert not wrapper.reset


def test_an_rst_is_an_empty_delivery_marked_as_a_loss(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    owner = Owner(wrapper)
    reset(peer)
    owner.wait_for(1)
    assert owner.got == [b""]
    assert wrapper.reset
