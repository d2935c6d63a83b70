"""Listeners that cannot listen: the reason, the program that prevents it, the action and the line."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import wsgw.net.listen_sockets
from tests.support.processes import ReservedPort, run_wsgw
from wsgw.config import from_arguments, load
from wsgw.config.model import Config
from wsgw.errors import ConfigError, ConfigProblem
from wsgw.net.listen_sockets import Place, bind_sockets, listen, unavailable
from wsgw.net.port_holder import Holder

#: Listeners from line 3 on, a line each.
CONFIG = """\
{{hosts, ["localhost"]}}.
{{listen, [
{listeners},
{{5222, ejabberd_c2s, []}}]}}.
"""


def configured(folder: Path, *places: tuple[str, int]) -> Config:
    path = folder / "wsgw.cfg"
    rows = [f'{{{{{port}, "{ip}"}}, websocket_session, []}}' for ip, port in places]
    path.write_text(CONFIG.format(listeners=",\n".join(rows)))
    return load(path)


def refused(config: Config) -> list[ConfigProblem]:
    """The reasons why the listeners cannot be bound."""
    with pytest.raises(ConfigError) as caught:
        bind_sockets(config, {})
    problems = list(caught.value.problems)
    assert all(problem.file == config.source for problem in problems)
    return problems


@contextmanager
def taken(ip: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port on which this process listens."""
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as sock:
        sock.bind((ip, port))
        sock.listen()
        yield sock.getsockname()[1]


needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")


# -- a port in use --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("0.0.0.0", "127.0.0.1"),
        pytest.param("::1", "::1", marks=needs_ipv6),
        pytest.param("::", "127.0.0.1", marks=needs_ipv6),
        pytest.param("127.0.0.1", "::", marks=needs_ipv6),
    ],
)
def test_a_port_in_use_is_reported(tmp_path: Path, theirs: str, ours: str) -> None:
    with taken(theirs) as port:
        (problem,) = refused(configured(tmp_path, (ours, port)))
    assert problem.line == 3
    beginning = f"cannot listen on {ours} port {port}: Address already in use by "
    assert problem.reason.startswith(beginning)
    assert f"(process {os.getpid()}): stop it, or choose another port" in problem.reason


def test_every_listener_that_cannot_listen_is_named(tmp_path: Path) -> None:
    free = ReservedPort()
    with taken() as first, taken() as second:
        config = configured(tmp_path, ("127.0.0.1", first), ("127.0.0.1", free.number), ("127.0.0.1", second))
        assert [problem.line for problem in refused(config)] == [3, 5]
        assert [problem.line for problem in unavailable(config)] == [3, 5]
    assert unavailable(config) == []
    for sock in bind_sockets(config, {}).values():
        sock.close()
    free.release()


def test_a_port_of_an_outgoing_connection_is_reported(tmp_path: Path) -> None:
    """No program listens there, but the port is not available on every address."""
    with taken() as port, socket.socket() as client:
        client.bind(("127.0.0.1", 0))
        client.connect(("127.0.0.1", port))
        number = client.getsockname()[1]
        (problem,) = refused(configured(tmp_path, ("0.0.0.0", number)))
        assert "Address already in use by a connection of " in problem.reason


def test_a_port_taken_between_binding_and_listening_is_reported(tmp_path: Path) -> None:
    free = ReservedPort()
    config = configured(tmp_path, ("127.0.0.1", free.number))
    sockets = bind_sockets(config, {})
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", free.number))
        other.listen()
        with pytest.raises(ConfigError, match=r":3: cannot listen .* in use by .*\(process "):
            listen(config, sockets)
    sockets[Place("127.0.0.1", free.number)].close()
    free.release()


def test_a_port_of_another_gateway_prevents_the_start_only(tmp_path: Path) -> None:
    """``wsgw check`` may be run meanwhile."""
    program = (
        "import socket, sys\n"
        "with socket.create_server(('127.0.0.1', 0)) as sock:\n"
        "    print(sock.getsockname()[1], flush=True)\n"
        "    sys.stdin.read()\n"
    )
    (tmp_path / "wsgw.py").write_text(program)
    with subprocess.Popen(
        [sys.executable, "-m", "wsgw"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        config = configured(tmp_path, ("127.0.0.1", int(process.stdout.readline())))
        (problem,) = refused(config)
        assert f"(process {process.pid}), a gateway: reload it (systemctl reload wsgw)" in problem.reason
        assert unavailable(config) == []
        assert process.stdin is not None
        process.stdin.close()


def test_a_port_held_by_systemd_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        wsgw.net.listen_sockets, "holder_of", lambda ip, port: Holder(0, 1, ("/sbin/init",), "systemd")
    )
    with taken() as port:
        config = configured(tmp_path, ("127.0.0.1", port))
        assert unavailable(config) == []
        assert "by systemd (process 1), for a socket unit" in refused(config)[0].reason


def test_process_1_of_a_container_is_named_like_other_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        wsgw.net.listen_sockets, "holder_of", lambda ip, port: Holder(0, 1, ("nginx",), "nginx")
    )
    with taken() as port:
        (problem,) = unavailable(configured(tmp_path, ("127.0.0.1", port)))
    assert problem.reason.endswith(" in use by nginx (process 1): stop it, or choose another port")


def test_a_holder_that_cannot_be_seen_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsgw.net.listen_sockets, "holder_of", lambda ip, port: None)
    with taken() as port:
        (problem,) = refused(configured(tmp_path, ("127.0.0.1", port)))
    assert problem.reason.endswith(
        f"in use: stop the program that uses it (ss -tanp sport = :{port}), or choose another port"
    )


# -- addresses and ports that are not available -------------------------------------------------


def test_an_address_of_another_machine_is_reported(tmp_path: Path) -> None:
    problems = refused(configured(tmp_path, ("198.51.100.1", 5288), ("198.51.100.1", 5289)))
    assert [problem.line for problem in problems] == [3, 4]
    assert problems[0].reason == (
        "cannot listen on 198.51.100.1 port 5288: Cannot assign requested address: no interface of this "
        "machine has this address (ip address): correct it; 0.0.0.0 means all"
    )


@needs_ipv6
def test_an_ipv6_address_of_another_machine_is_reported(tmp_path: Path) -> None:
    (problem,) = refused(configured(tmp_path, ("2001:db8::1", 5288)))
    assert problem.reason.endswith("correct it; :: means all")


def test_a_machine_without_ipv6_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsgw.net.listen_sockets, "_has_ipv6", lambda: False)
    (problem,) = refused(configured(tmp_path, ("2001:db8::1", 5288)))
    assert problem.reason.endswith(
        'this machine has no IPv6: listen on an IPv4 address; "0.0.0.0" means all of them'
    )


@pytest.mark.root
def test_a_port_below_1024_is_reported(tmp_path: Path) -> None:
    """Without the privilege, under any account."""
    path = configured(tmp_path, ("127.0.0.1", 443)).source
    argv = ["setpriv", "--bounding-set", "-net_bind_service", "--inh-caps", "-net_bind_service"]
    done = run_wsgw("--config", path, under=argv)
    assert done.returncode == 2
    limit = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text().strip()
    assert done.stderr.startswith(
        f"{path}:3: cannot listen on 127.0.0.1 port 443: Permission denied: only root and"
    )
    assert f"programs with CAP_NET_BIND_SERVICE can listen below {limit}: start wsgw as" in done.stderr


def test_without_a_file_the_report_names_the_argument() -> None:
    (problem,) = unavailable(from_arguments("198.51.100.1:5288", ["a"], ["tcp://127.0.0.1"]))
    assert str(problem).startswith("command line: cannot listen on 198.51.100.1 port 5288: ")
    assert os.strerror(errno.EADDRNOTAVAIL) in problem.reason
