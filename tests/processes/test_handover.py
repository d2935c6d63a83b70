"""The handover from a parent to its successor is a contract between releases: this is its form."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT
from tests.support.wire import Browser
from wsgw.capacity.table import SharedTable
from wsgw.net.listen_sockets import Place
from wsgw.processes.control import Channel
from wsgw.processes.inherited import Inherited, described

pytestmark = pytest.mark.slow

PATIENCE = 30


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def test_a_gateway_takes_over_from_the_first_release(listening: socket.socket, tmp_path: Path) -> None:
    """The variable, the word for \"I serve\", and the word that stops the old processes."""
    ip, port = listening.getsockname()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(PATIENCE)
    told = {"link": theirs.fileno(), "sockets": [[listening.fileno(), [ip, port, 0]]], "activated": []}
    account = ["--user", "root"] if os.geteuid() == 0 else []
    where = ["--listen", f"{ip}:{port}", "--domain", "localhost"]
    with (tmp_path / "log").open("wb") as log, ours:
        successor = subprocess.Popen(
            [sys.executable, "-m", "wsgw", "--offline", *account, *where, "--upstream", "tcp://127.0.0.1:1"],
            env={**os.environ, "WSGW_UPGRADE": json.dumps(told)},
            pass_fds=[theirs.fileno(), listening.fileno()],
            stdout=log,
            stderr=log,
            cwd=ROOT,
        )
        theirs.close()
        try:
            assert ours.recv(100) == b"serving\n", (tmp_path / "log").read_text()
            Browser(port).close()
            successor.send_signal(signal.SIGTERM)
            assert ours.recv(100) == b"drain\n"
            ours.close()
            assert successor.wait(PATIENCE) == 0
        finally:
            successor.kill()
            successor.wait()


def test_a_later_release_reads_what_this_one_writes(listening: socket.socket) -> None:
    """Names may be added; these stay, and are of descriptors."""
    place = Place(*listening.getsockname())
    table = SharedTable.create(1)
    link, other = Channel.pair()
    told = described({place: listening}, [], link, [table])
    assert json.loads(told) == {
        "link": link.fileno(),
        "sockets": [[listening.fileno(), list(place)]],
        "activated": [],
        "tables": [table.fileno()],
    }
    link.close()
    other.close()


def test_unknown_names_of_a_later_release_are_skipped(listening: socket.socket) -> None:
    """A downgrade is an upgrade too."""
    ours, theirs = Channel.pair()
    told = described({}, [], theirs, [])
    environment = {"WSGW_UPGRADE": json.dumps({**json.loads(told), "of a later release": [1]})}
    inherited = Inherited.find(environment)
    assert inherited.predecessor is not None
    assert environment == {}
    inherited.predecessor.send("serving")
    message = ours.receive()
    assert message is not None
    assert message.word == "serving"
    ours.close()
