"""One direction of a session, between two real sockets, with a fake machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import gevent
import pytest

from wsgw.errors.causes import Cause
from wsgw.relay.flow import Direction, Shaper
from wsgw.socket_async import SocketAsync

LIMIT, HARD = 64 * 1024, 256 * 1024
MUCH = b"x" * (4 * 1024 * 1024)


class Session:
    """Notes the calls of a direction."""

    def __init__(self) -> None:
        self.faults = 0

    def settle(self) -> None: ...

    def repaired(self) -> None: ...

    def cut_browser(self, cause: Cause) -> None: ...

    def fault(self) -> None:
        self.faults += 1


class Machine:
    """Takes bytes, and has as many rounds of work as the test sets."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.rounds = 0
        self.rounds_left = 0
        self.rest: float | None = 0.0
        self.losses = 0
        self.fails = False
        #: For each round, whether this source was being read.
        self.looks_at: SocketAsync | None = None
        self.source_was_read: list[bool] = []

    def take(self, data: bytes) -> bool:
        self.taken.append(data)
        return self.process()

    def process(self) -> bool:
        if self.fails:
            raise RuntimeError("a fault of ours")
        self.rounds += 1
        if self.looks_at is not None:
            self.source_was_read.append(self.looks_at.armed)
        self.rounds_left = max(0, self.rounds_left - 1)
        return self.rounds_left > 0

    def rest_in(self) -> float | None:
        return self.rest

    def lost(self) -> None:
        self.losses += 1


class Line:
    """A direction, and the far ends of its two sockets."""

    def __init__(self, direction: Direction, session: Session, machine: Machine) -> None:
        self.direction, self.session, self.machine = direction, session, machine
        (near_source, self.sender), (near_sink, self.receiver) = socket.socketpair(), socket.socketpair()
        self.source, self.sink = SocketAsync(near_source), SocketAsync(near_sink)
        direction.source, direction.sink = self.source, self.sink
        self.source.attach(direction.received, lambda: None)
        self.sink.attach(lambda _data: None, direction.resume)
        self.source.active_once()

    def fill_sink(self) -> None:
        self.direction.send([MUCH])
        assert self.sink.outbox.queued > HARD

    def empty_sink(self) -> None:
        self.receiver.setblocking(False)
        left = len(MUCH)
        with gevent.Timeout(5):
            while left:
                gevent.sleep(0.001)
                try:
                    left -= len(self.receiver.recv(left))
                except BlockingIOError:
                    continue

    def close(self) -> None:
        for end in (self.source, self.sink, self.sender, self.receiver):
            end.close()


def a_turn() -> None:
    """Long enough to deliver the bytes that have arrived and to do the scheduled work."""
    for _ in range(5):
        gevent.sleep(0.001)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def line(stack: ExitStack) -> Line:
    session, machine = Session(), Machine()
    line = Line(Direction(session, machine, LIMIT), session, machine)
    stack.callback(line.close)
    return line


def test_the_source_is_read_again_when_all_work_is_done(line: Line) -> None:
    for piece in (b"one", b"two"):
        line.sender.sendall(piece)
        a_turn()
    assert line.machine.taken == [b"one", b"two"]
    assert line.direction.bytes_received == 6


def test_the_rest_is_done_in_later_turns_before_the_next_read(line: Line) -> None:
    line.machine.rounds_left = 3
    line.sender.sendall(b"much to do")
    line.machine.looks_at = line.source
    a_turn()
    assert line.machine.source_was_read == [False, False, False]
    assert line.source.armed


def test_a_machine_that_waits_for_the_other_side_gets_no_turns(line: Line) -> None:
    line.machine.rounds_left, line.machine.rest = 2, None
    line.sender.sendall(b"before the server is connected")
    a_turn()
    assert (line.machine.rounds, line.source.armed) == (1, False)
    line.direction.pump()
    assert (line.machine.rounds, line.source.armed) == (2, True)


def test_a_full_sink_stops_the_reading_of_the_source(line: Line) -> None:
    line.fill_sink()
    line.sender.sendall(b"a stanza")
    a_turn()
    assert line.machine.taken == [b"a stanza"]
    assert line.direction.must_wait
    assert not line.source.armed
    line.empty_sink()
    a_turn()
    assert line.source.armed


def test_the_last_bytes_are_read_despite_a_full_sink_up_to_a_limit(line: Line) -> None:
    overflows: list[int] = []
    line.sender.sendall(b"a stanza")
    a_turn()
    line.direction.read_to_end(len(MUCH), lambda: overflows.append(1))
    line.fill_sink()
    assert not line.direction.must_wait
    line.sender.sendall(b"a last one")
    a_turn()
    assert (line.machine.taken[-1], overflows) == (b"a last one", [])
    line.direction.read_to_end(HARD, lambda: overflows.append(1))
    line.sender.sendall(b"and more")
    a_turn()
    assert overflows == [1]


def test_a_shaper_pauses_a_source_that_is_ahead_of_its_rate(stack: ExitStack) -> None:
    session, machine = Session(), Machine()
    line = Line(Direction(session, machine, LIMIT, Shaper(1000)), session, machine)
    stack.callback(line.close)
    line.sender.sendall(b"x" * 900)
    a_turn()
    assert line.source.armed, "the bytes of one second may come at once"
    line.sender.sendall(b"x" * 900)
    a_turn()
    assert line.direction.must_wait
    assert not line.source.armed


def test_the_machine_learns_of_an_end(line: Line) -> None:
    line.sender.close()
    a_turn()
    assert line.machine.losses == 1


def test_a_fault_while_working_ends_the_session_only(line: Line) -> None:
    line.machine.fails = True
    line.sender.sendall(b"x")
    a_turn()
    line.direction.pump()
    assert line.session.faults == 2


def test_without_a_source_no_work_is_done(line: Line) -> None:
    line.direction.source = None
    line.direction.pump()
    line.direction.resume()
    assert line.machine.rounds == 0


def test_without_a_sink_the_bytes_sent_are_dropped(line: Line) -> None:
    line.direction.sink = None
    pieces = [b"a stanza"]
    line.direction.send(pieces)
    assert pieces == []
    assert line.direction.bytes_sent == 0


def test_pieces_leave_in_one_write(line: Line) -> None:
    pieces = [b"<open/>", b"<features/>"]
    line.direction.send(pieces)
    a_turn()
    assert line.receiver.recv(100) == b"<open/><features/>"
    assert (pieces, line.direction.bytes_sent) == ([], 18)
