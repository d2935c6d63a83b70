"""The channel between a parent and a worker."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator

import pytest

from tests.support.observe import open_files
from wsgw.processes.control import Channel
from wsgw.processes.worker import problems_of

LARGE = bytes(range(256)) * 4096


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    pair = Channel.pair()
    yield pair
    for end in pair:
        end.close()


@pytest.mark.parametrize("body", [b"", b"short", b"a\nb\0c", LARGE], ids=["none", "short", "marks", "large"])
@pytest.mark.parametrize("sockets", [0, 1, 3])
def test_a_message_arrives_with_its_descriptors(
    ends: tuple[Channel, Channel], body: bytes, sockets: int
) -> None:
    parents, workers = ends
    sent = [socket.socket() for _ in range(sockets)]
    assert parents.send("settings", body, sent)
    message = workers.receive()
    assert message is not None
    assert (message.word, message.body) == ("settings", body)
    assert [os.fstat(sock.fileno()).st_ino for sock in message.sockets] == [
        os.fstat(sock.fileno()).st_ino for sock in sent
    ]
    assert workers.receive() is None
    for sock in (*sent, *message.sockets):
        sock.close()


def test_a_worker_sends_no_descriptors(ends: tuple[Channel, Channel]) -> None:
    """The parent may be root, and a descriptor may belong to any file."""
    parents, workers = ends
    before = open_files()
    with socket.socket() as sock:
        assert workers.send("failed", b"[]", [sock])
        assert workers.send("failed", LARGE)
    message = parents.receive()
    assert message is not None
    assert (message.body, message.sockets) == (b"[]", [])
    with pytest.raises(EOFError):
        parents.receive()
    assert open_files() == before


@pytest.mark.parametrize("body", [b"", b"\xff", b"{}", b"[1]", b'[["file", "line", 1]]', b"7"])
def test_malformed_problems_of_a_worker_raise_no_error(body: bytes) -> None:
    assert [problem.line for problem in problems_of(body)] in ([], [0])


def test_a_message_whose_descriptors_find_no_room_is_lost(ends: tuple[Channel, Channel]) -> None:
    """The channel continues, and no descriptor stays open."""
    parents, workers = ends
    with socket.socket() as first, socket.socket() as second:
        parents.send("settings", b"", [first, second])
        parents.send("drain")
        most = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)  # the lowest free number
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, most[1]))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                workers.receive()
            message = workers.receive()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, most)
    assert message is not None
    assert message.word == "drain"


def test_a_peer_that_does_not_read_blocks_no_sender(ends: tuple[Channel, Channel]) -> None:
    parents, _workers = ends
    assert not all(parents.send("settings", LARGE) for _ in range(1000))


def test_a_closed_peer_is_the_end_of_the_channel(ends: tuple[Channel, Channel]) -> None:
    parents, workers = ends
    workers.close()
    assert parents.send("drain")
    with pytest.raises(EOFError):
        parents.receive()
