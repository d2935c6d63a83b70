"""The progress of a socket that the sweep remembers between two checks."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import gevent
import pytest

from wsgw.relay.sweep import Progress
from wsgw.socket_async import LINGER_TIMEOUT, SocketAsync

MUCH = b"x" * (4 * 1024 * 1024)


@pytest.fixture
def pair() -> Iterator[tuple[SocketAsync, socket.socket]]:
    near, far = socket.socketpair()
    wrapper = SocketAsync(near)
    yield wrapper, far
    wrapper.close()
    far.close()


def test_a_peer_that_takes_nothing_is_stalled_from_the_first_check(
    pair: tuple[SocketAsync, socket.socket],
) -> None:
    wrapper, _ = pair
    progress = Progress()
    assert progress.stalled(wrapper.outbox, 10.0) == 0.0
    wrapper.send(MUCH)
    assert progress.stalled(wrapper.outbox, 20.0) == 0.0
    assert progress.stalled(wrapper.outbox, 25.0) == 5.0


def test_a_peer_that_takes_something_is_not_stalled(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, far = pair
    wrapper.attach(lambda _data: None, lambda: None)
    progress = Progress()
    wrapper.send(MUCH)
    progress.stalled(wrapper.outbox, 20.0)
    far.recv(1024 * 1024)
    gevent.sleep(0.01)
    assert wrapper.outbox.queued
    assert progress.stalled(wrapper.outbox, 25.0) == 0.0
    assert progress.stalled(wrapper.outbox, 26.0) == 1.0


def test_the_last_bytes_are_awaited_for_a_while_after_a_failed_write(
    pair: tuple[SocketAsync, socket.socket],
) -> None:
    wrapper, far = pair
    progress = Progress()
    assert not progress.failed_too_long(wrapper.outbox, 10.0)
    far.close()
    wrapper.send(MUCH)
    assert wrapper.outbox.failed
    assert not progress.failed_too_long(wrapper.outbox, 20.0)
    assert progress.failed_too_long(wrapper.outbox, 20.0 + LINGER_TIMEOUT)
