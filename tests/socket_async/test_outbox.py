"""Bytes sent: when they leave, in which order, and when back-pressure ends."""

from __future__ import annotations

import socket

import gevent

from tests.socket_async.peers import Owner, read_exactly, turns_of_the_loop, while_an_event_waits
from tests.support.here import in_thread
from wsgw.socket_async import SocketAsync


def test_bytes_sent_while_other_events_wait_leave_after_them(
    pair: tuple[SocketAsync, socket.socket],
) -> None:
    wrapper, peer = pair

    def send() -> int:
        wrapper.send(b"one, ")
        wrapper.send(b"two")
        return wrapper.outbox.progress

    assert while_an_event_waits(send) == 0
    assert peer.recv(100) == b"one, two"


def test_many_bytes_leave_at_once_after_those_sent_before(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    much = b"x" * 20_000

    def send() -> int:
        wrapper.send(b"first")
        wrapper.send(much)
        return wrapper.outbox.progress

    assert while_an_event_waits(send) == len(b"first" + much)
    assert peer.recv(100_000) == b"first" + much


def test_bytes_sent_while_no_event_waits_leave_at_once(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    wrapper.send(b"word")
    assert wrapper.outbox.progress == len(b"word")
    assert peer.recv(100) == b"word"


def test_send_never_blocks_and_reports_the_write(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    owner = Owner(wrapper)
    size = 20_000_000
    wrapper.send(b"x" * size)
    assert 0 < wrapper.outbox.queued < size
    in_thread(read_exactly, peer, size)
    assert owner.drained.wait(5)
    assert wrapper.outbox.queued == 0


def test_a_mark_is_reported_after_the_bytes_before_it(pair: tuple[SocketAsync, socket.socket]) -> None:
    """However many bytes are queued behind the mark."""
    wrapper, peer = pair
    size = 20_000_000
    queued_then: list[int] = []
    wrapper.attach(lambda _data: None, lambda: None, lambda: queued_then.append(wrapper.outbox.queued))
    wrapper.send(b"x" * size)
    wrapper.send(b"marked")
    wrapper.outbox.mark()
    wrapper.send(b"y" * size)
    assert wrapper.outbox.mark_pending
    in_thread(read_exactly, peer, size)
    turns_of_the_loop()
    in_thread(read_exactly, peer, size // 2)
    assert len(queued_then) == 1
    assert queued_then[0] > 0
    assert not wrapper.outbox.mark_pending
    in_thread(read_exactly, peer, size // 2 + len(b"marked"))
    assert len(queued_then) == 1


def test_the_bytes_that_have_left_the_machine_are_known(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    size = 20_000_000
    wrapper.send(b"x" * size)
    sent, taken = wrapper.outbox.sent_and_taken
    assert sent == size
    assert taken < size
    in_thread(read_exactly, peer, size - 1)
    with gevent.Timeout(5):
        while wrapper.outbox.sent_and_taken != (size, size):
            gevent.sleep(0.001)
    wrapper.close()
    assert wrapper.outbox.taken == size


def test_bytes_sent_in_one_turn_leave_in_order(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    wrapper.send(b"one ")
    wrapper.send(b"two ")
    wrapper.sendall(b"three ")
    assert peer.recv(100) == b"one two three ", "a blocking send does not wait for the end of the turn"
    wrapper.send(b"four")
    gevent.sleep(0)
    assert peer.recv(100) == b"four"


def test_the_last_bytes_sent_leave_before_the_end(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    wrapper.send(b"bye")
    peer.shutdown(socket.SHUT_WR)
    wrapper.linger(1.0, 1.0)
    assert peer.recv(100) == b"bye"
    assert peer.recv(100) == b""


def test_a_failed_write_itself_asks_for_the_last_bytes(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    got: list[bytes] = []
    wrapper.attach(got.append, lambda: None)
    peer.sendall(b"last words")
    peer.close()
    with gevent.Timeout(5):
        while not got:
            wrapper.send(b"into the void")
            gevent.sleep(0.01)
    assert wrapper.outbox.failed
    assert got == [b"last words"]


def test_a_failed_write_leaves_the_last_bytes_readable(pair: tuple[SocketAsync, socket.socket]) -> None:
    wrapper, peer = pair
    peer.sendall(b"last words")
    peer.close()
    with gevent.Timeout(5):
        while not wrapper.outbox.failed:
            wrapper.send(b"into the void")
            gevent.sleep(0.01)
    owner = Owner(wrapper)
    owner.wait_for(2)
    assert owner.got == [b"last words", b""]
