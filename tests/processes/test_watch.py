"""The watched descriptors of a parent: read, muted, closed; all closed at once in a forked worker."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from wsgw.processes.watch import Watch


class Pair:
    """A watched socket that notes the bytes it reads, and its other end."""

    def __init__(self, watch: Watch) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.heard: list[bytes] = []
        watch.add(self.ours, lambda: self.heard.append(self.ours.recv(10)))


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def pairs(watch: Watch) -> Iterator[list[Pair]]:
    pairs = [Pair(watch), Pair(watch)]
    yield pairs
    for pair in pairs:
        pair.ours.close()
        pair.theirs.close()


def test_a_readable_descriptor_is_read(watch: Watch, pairs: list[Pair]) -> None:
    watch.wait(0)
    pairs[1].theirs.send(b"x")
    watch.wait(5)
    assert [pair.heard for pair in pairs] == [[], [b"x"]]


def test_a_muted_descriptor_stays_open(watch: Watch, pairs: list[Pair]) -> None:
    watch.mute(pairs[0].ours)
    watch.mute(pairs[0].ours)
    pairs[0].theirs.send(b"x")
    watch.wait(0)
    assert pairs[0].heard == []
    assert pairs[0].ours.fileno() >= 0
    watch.close(pairs[0].ours)
    assert pairs[0].ours.fileno() < 0


def test_a_closed_descriptor_is_not_read(watch: Watch, pairs: list[Pair]) -> None:
    watch.close(pairs[0].ours)
    assert pairs[0].theirs.recv(10) == b""
    pairs[1].theirs.send(b"x")
    watch.wait(5)
    assert pairs[1].heard == [b"x"]


def test_close_all_closes_muted_descriptors_too(watch: Watch, pairs: list[Pair]) -> None:
    watch.mute(pairs[0].ours)
    watch.close_all()
    assert [pair.theirs.recv(10) for pair in pairs] == [b"", b""]
