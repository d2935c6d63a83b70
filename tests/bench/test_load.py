"""The load generator counts correctly and finds errors; otherwise its figures would be worthless."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.bench import programs
from tests.bench.load import Load, LoadError
from tests.bench.subjects import PATH, Stub

pytestmark = [
    pytest.mark.perf,
    pytest.mark.skipif(
        shutil.which("gcc") is None and os.environ.get("CI") != "true", reason="gcc is not installed"
    ),
]


class Relay:
    """Passes bytes on between one client and the stub; ``change`` may change the bytes from the stub."""

    def __init__(self, port: int, change: Callable[[bytes], bytes]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}{PATH}"
        self._port = port
        self._change = change
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            there = threading.Thread(target=self._pass, args=(client, server, bytes), daemon=True)
            there.start()
            self._pass(server, client, self._change)
            there.join()

    @staticmethod
    def _pass(source: socket.socket, to: socket.socket, change: Callable[[bytes], bytes]) -> None:
        try:
            while data := source.recv(1 << 20):
                to.sendall(change(data))
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other direction has ended

    def close(self) -> None:
        """The client has disconnected."""
        self._thread.join(10)
        self._listener.close()


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stub]:
    stub = Stub(tmp_path_factory.mktemp("stub"))
    yield stub
    stub.close()


@pytest.fixture
def logged_in(tmp_path: Path) -> Iterator[Callable[[str, int], Load]]:
    """``logged_in(url, sessions)``: a generator with its sessions."""
    loads = []

    def start(url: str, sessions: int) -> Load:
        loads.append(Load(url, tmp_path / "load.log"))
        assert loads[-1].login(sessions)["sessions"] == sessions
        return loads[-1]

    yield start
    for load in loads:
        load.close()


@pytest.mark.parametrize("body", [100, 4096, 65536])
def test_a_closed_loop_keeps_its_messages_in_flight(
    stub: Stub, logged_in: Callable[[str, int], Load], body: int
) -> None:
    load = logged_in(stub.ws, 16)
    answer = load.run(0.3, body, flight=2)
    assert answer["messages"] == answer["sent"] >= 32
    mean, p50, p99, most = (answer["latency"][f"{name}_us"] for name in ("mean", "p50", "p99", "max"))
    # Little's law: messages in flight are their rate times the time of each. One at least, 32 at most, also
    # on a busy machine.
    assert 0.9 < answer["messages"] / answer["seconds"] * mean / 1e6 < 32.1
    # Half of the messages took p50 or longer; the other half p50 or less, and all but one in a hundred p99 or
    # less.
    assert 0 < p50 <= p99 <= most * 1.02
    assert p50 / 2 <= mean * 1.02
    assert mean <= (p50 / 2 + p99 / 2 + most / 100) * 1.02
    assert load.logout()["errors"] == 0


def test_a_fixed_rate_is_kept(stub: Stub, logged_in: Callable[[str, int], Load]) -> None:
    answer = logged_in(stub.ws, 16).run(0.5, 100, rate=400)
    assert answer["sent"] == answer["messages"] == 200


def once(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """The first chunk that ``change`` alters, and no other."""
    done = False

    def changed(data: bytes) -> bytes:
        nonlocal done
        new = data if done else change(data)
        done = done or new != data
        return new

    return changed


def doubled(data: bytes) -> bytes:
    return data * 2 if b"<body>" in data else data


def dropped(data: bytes) -> bytes:
    return b"" if b"<body>" in data else data


FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "another number": (
        lambda data: data.replace(b"<body>00000000", b"<body>00000001"),
        "not the message that",
    ),
    "another end": (lambda data: data.replace(b"x</body>", b"x</bodY>"), "not the message that"),
    "no body": (lambda data: data.replace(b"<body>", b"<bodi>"), "without a body"),
    "twice": (doubled, "not the message that"),
    "never": (dropped, "have not come back"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_on_the_way_is_an_error(
    stub: Stub, logged_in: Callable[[str, int], Load], fault: str
) -> None:
    change, words = FAULTS[fault]
    relay = Relay(stub.port, once(change))
    load = logged_in(relay.url, 1)
    with pytest.raises(LoadError, match=words):
        load.run(0.2)
    load.close()
    relay.close()


def test_messages_due_while_the_generator_is_stopped_are_sent_late(
    stub: Stub, logged_in: Callable[[str, int], Load]
) -> None:
    """It is stopped from its first message until after the end of the run."""

    pauses = [0.5]

    def stop(data: bytes) -> bytes:
        if pauses and b"<body>" in data:
            os.kill(load.pid, signal.SIGSTOP)
            time.sleep(pauses.pop())
            os.kill(load.pid, signal.SIGCONT)
        return data

    relay = Relay(stub.port, stop)
    load = logged_in(relay.url, 1)
    answer = load.run(0.3, rate=100)
    assert answer["sent"] == answer["messages"] == 30
    load.close()
    relay.close()


def test_programs_may_be_compiled_at_the_same_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the processes of a test run do if there are none."""
    monkeypatch.setattr(programs, "ROOT", tmp_path)
    with ThreadPoolExecutor() as pool:
        made = [pool.submit(programs.compiled, "stub") for _ in range(3)]
        (program,) = {each.result() for each in made}
    assert os.access(program, os.X_OK)
    assert list(program.parent.iterdir()) == [program]
