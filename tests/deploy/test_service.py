"""Start, upgrade and rollback with real gateways, under a fake systemd."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.conftest import NEW, OLD, Built
from tests.deploy.staging import Stage
from tests.deploy.systemd import SECONDS, Systemd
from tests.support.processes import ReservedPort, accepts, wait_until
from tests.support.servers import Server
from tests.support.wire import PING, PONG, Browser, frame
from wsgw.demo import DEMO_ACCOUNTS
from wsgw.probe import prove

CONFIG = """\
hosts: [localhost]
listen:
- {{port: {port}, ip: "127.0.0.1", module: websocket_session, request_handlers: {{/ws-xmpp: mod_websocket}},
   upstream: "tcp://127.0.0.1:{upstream}", open_timeout: 600}}
- {{port: {admin}, ip: "127.0.0.1", module: wsgw_admin}}
workers: 1
"""
WAIT = ("--wait", "20")


class Machine:
    """A staged machine with a fake systemd, and a configuration with reserved ports."""

    def __init__(self, stage: Stage, upstream: int) -> None:
        self.stage = stage
        self._ports = [ReservedPort(), ReservedPort()]
        self.port, self.admin_port = (port.number for port in self._ports)
        self.upstream = upstream
        self.configure(self.port)
        self.systemd = Systemd(stage)

    def configure(self, port: int) -> None:
        self.stage.config.unlink(missing_ok=True)
        text = CONFIG.format(port=port, admin=self.admin_port, upstream=self.upstream)
        self.stage.write("etc/wsgw/wsgw.yml", text)

    def close(self) -> None:
        self.systemd.close()
        for port in self._ports:
            port.release()

    def deploy(self, tree: Path, *arguments: str, status: int = 0) -> str:
        return self.stage.deploy(tree, *WAIT, *arguments, status=status)

    def carries_messages(self) -> bool:
        """Two accounts log in through the gateway and one writes to the other; raises ProbeFailed if not."""
        alice, bob = DEMO_ACCOUNTS.items()
        prove(f"ws://127.0.0.1:{self.port}/ws-xmpp", "localhost", alice, bob, 20.0)
        return True

    def version_running(self) -> str:
        """The version of the release whose modules the main process has loaded."""
        maps = Path(f"/proc/{self.systemd.main_pid}/maps").read_text()
        releases = {
            line.split("/opt/wsgw/releases/")[1] for line in maps.splitlines() if "/releases/" in line
        }
        (version,) = {release.partition("/")[0].rpartition("-")[0] for release in releases}
        return version


@pytest.fixture
def make_machine(
    make_stage: Callable[[Path | None], Stage], start_server: Callable[[str], Server]
) -> Iterator[Callable[[Path], Machine]]:
    machines: list[Machine] = []

    def make(source: Path) -> Machine:
        machines.append(Machine(make_stage(source), start_server("demo").c2s_port))
        return machines[-1]

    yield make
    for machine in machines:
        machine.close()


Make = Callable[[Path], Machine]


def change_release(stage: Stage, version: str, name: str, old: str, new: str) -> None:
    """Replace text in a file of an installed release."""
    (path,) = (stage.home / "releases").glob(f"{version}-*/{name}")
    source = path.read_text()
    assert source.count(old) == 1
    path.unlink()
    path.write_text(source.replace(old, new))


def break_release(stage: Stage, version: str) -> None:
    """Let the gateway of an installed release end as soon as it starts, though its configuration is fine."""
    broken = (
        '\ndef _serve(_chosen: object) -> int:\n    print("nothing works")\n    return 1\n\n\ndef _served('
    )
    change_release(stage, version, "lib/*/site-packages/wsgw/cli.py", "\ndef _serve(", broken)


def test_the_first_deployment_starts_and_serves(built: Built, make_machine: Make) -> None:
    machine = make_machine(built.first)
    said = machine.deploy(built.old)
    assert "runs and is healthy" in said
    assert machine.carries_messages()
    assert machine.systemd.accounts == {"wsgw"}
    assert machine.systemd.enabled == {"wsgw.service"}
    assert machine.version_running() == OLD


def test_a_second_deployment_does_not_disturb_the_running_gateway(built: Built, make_machine: Make) -> None:
    machine = make_machine(built.first)
    machine.deploy(built.old)
    before, calls, pid = machine.stage.snapshot(), list(machine.systemd.calls), machine.systemd.main_pid
    said = machine.deploy(built.old)
    assert "nothing to do" in said
    assert (machine.stage.snapshot(), machine.systemd.calls) == (before, calls)
    assert machine.systemd.main_pid == pid


def test_a_configuration_that_was_not_read_yet_is_reloaded(built: Built, make_machine: Make) -> None:
    machine = make_machine(built.first)
    machine.deploy(built.old)
    pid, other = machine.systemd.main_pid, ReservedPort()
    machine.configure(other.number)
    machine.deploy(built.old)
    assert machine.systemd.calls[-1] == "systemctl reload wsgw.service"
    assert machine.systemd.main_pid == pid
    assert accepts(other.number)
    wait_until(lambda: not accepts(machine.port), SECONDS, "the former port to close")
    other.release()


def test_an_installation_need_not_start_the_service(built: Built, make_machine: Make) -> None:
    machine = make_machine(built.first)
    said = machine.deploy(built.old, "--no-start")
    assert "start it with" in said
    assert not machine.systemd.is_active()
    assert machine.systemd.enabled == set()


def test_a_failed_first_deployment_leaves_no_process(built: Built, make_machine: Make) -> None:
    machine = make_machine(built.first)
    (machine.stage.home / "current").unlink()
    machine.configure(machine.upstream)
    said = machine.deploy(built.old, status=1)
    assert "Address already in use" in said
    assert not machine.systemd.is_active()
    assert machine.systemd.enabled == set()
    assert machine.stage.current() == ""


@contextmanager
def connecting(port: int) -> Iterator[list[bool]]:
    """In the block, connect again and again; yields the result of each attempt."""
    attempts: list[bool] = []
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.005):
            attempts.append(accepts(port))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield attempts
    finally:
        over.set()
        thread.join()


def test_an_upgrade_replaces_the_process(built: Built, make_machine: Make) -> None:
    machine = make_machine(built.both)
    machine.deploy(built.old)
    before = machine.systemd.main_pid
    browser = Browser(machine.port)
    assert browser.head.startswith("HTTP/1.1 101 ")
    with connecting(machine.port) as attempts:
        said = machine.deploy(built.new)
    assert f"runs and is healthy, in place of {OLD}-" in said
    assert "continue to serve their sessions" in said
    assert f"to go back to {OLD}-" in said
    assert machine.systemd.main_pid != before
    assert machine.version_running() == NEW
    # Otherwise systemd would neither see its end nor wait for its drain.
    parent = Path(f"/proc/{machine.systemd.main_pid}/stat").read_text().rpartition(")")[2].split()[1]
    assert parent != str(before)
    assert machine.carries_messages()
    assert len(attempts) > 10
    assert all(attempts)
    browser.send(frame(b"still there", PING))
    while (heard := browser.frame())[0] == PING:  # the gateway's own, when it has taken long
        pass
    assert heard == (PONG, b"still there")
    assert not any("restart" in call or "stop" in call for call in machine.systemd.calls)


def test_a_rollback_replaces_the_process_too(built: Built, make_machine: Make) -> None:
    machine = make_machine(built.both)
    machine.deploy(built.new)
    calls, pid = list(machine.systemd.calls), machine.systemd.main_pid
    dry = machine.deploy(built.new, "--rollback", "--dry-run")
    assert "--signal=USR2 wsgw.service, which makes the running gateway pass its ports to" in dry
    assert f"go back to {NEW}-" in dry
    assert (machine.systemd.calls, machine.systemd.main_pid) == (calls, pid)
    said = machine.deploy(built.new, "--rollback")
    assert f"runs and is healthy, in place of {NEW}-" in said
    assert f"to switch forward to {NEW}-" in said
    assert machine.version_running() == OLD
    assert machine.carries_messages()
    assert not any("restart" in call or "stop" in call for call in machine.systemd.calls)


def test_a_release_that_does_not_work_is_rolled_back(built: Built, make_machine: Make) -> None:
    machine = make_machine(built.both)
    machine.deploy(built.old)
    break_release(machine.stage, NEW)
    pid = machine.systemd.main_pid
    said = machine.deploy(built.new, status=1)
    assert NEW in said.splitlines()[-1]
    assert "nothing works" in said
    assert "the previous release never stopped serving" in said
    assert machine.systemd.main_pid == pid
    assert (machine.stage.current(), machine.stage.release("previous")) == (OLD, NEW)
    assert machine.carries_messages()
    assert machine.version_running() == OLD


def test_a_release_is_not_rolled_back_for_a_server_that_was_down(built: Built, make_machine: Make) -> None:
    machine = make_machine(built.both)
    machine.deploy(built.old)
    nobody = ReservedPort()
    machine.upstream = nobody.number
    machine.configure(machine.port)
    machine.systemd.signal("HUP")
    said = machine.deploy(built.new)
    assert "warning: /readyz" in said
    assert "No XMPP server answers" in said
    assert machine.version_running() == NEW
    nobody.release()


def test_a_release_that_does_not_find_the_server_is_rolled_back(built: Built, make_machine: Make) -> None:
    machine = make_machine(built.both)
    machine.deploy(built.old)
    deaf = (
        "def _connect(self, *_: object) -> SocketAsync:\n        raise OSError('deaf')\n\n    def _connected("
    )
    change_release(machine.stage, NEW, "lib/*/site-packages/wsgw/upstream/connect.py", "def _connect(", deaf)
    said = machine.deploy(built.new, "--wait", "3", status=1)
    assert "unhealthy: /readyz" in said
    assert "deaf" in said
    assert machine.version_running() == OLD
    assert machine.carries_messages()
    assert not any("restart" in call or "stop" in call for call in machine.systemd.calls)


def test_a_release_that_was_only_linked_takes_over(built: Built, make_machine: Make) -> None:
    """A deployment was interrupted after the link, or did not start the release."""
    machine = make_machine(built.both)
    machine.deploy(built.old)
    said = machine.deploy(built.new, "--no-start")
    assert "the previous release still runs" in said
    assert (machine.stage.current(), machine.version_running()) == (NEW, OLD)
    machine.deploy(built.new)
    assert machine.version_running() == NEW
    assert "nothing to do" in machine.deploy(built.new)


def test_a_release_that_was_only_linked_and_does_not_work_is_rolled_back(
    built: Built, make_machine: Make
) -> None:
    machine = make_machine(built.both)
    machine.deploy(built.old)
    machine.deploy(built.new, "--no-start")
    break_release(machine.stage, NEW)
    assert "the previous release never stopped serving" in machine.deploy(built.new, status=1)
    assert (machine.stage.current(), machine.version_running()) == (OLD, OLD)


def test_the_units_are_those_of_the_release(built: Built, make_machine: Make) -> None:
    machine = make_machine(built.both)
    machine.deploy(built.old)
    before = machine.stage.service.read_text()
    change_release(machine.stage, NEW, "deploy/wsgw.service", "RestartSec=1\n", "RestartSec=7\n")
    machine.deploy(built.new)
    assert "RestartSec=7\n" in machine.stage.service.read_text()
    machine.deploy(built.new, "--rollback")
    assert machine.stage.service.read_text() == before
    break_release(machine.stage, NEW)
    machine.deploy(built.new, status=1)
    assert machine.stage.service.read_text() == before
    assert machine.systemd.calls.count("systemctl daemon-reload") == 4


def test_systemd_reads_units_that_it_has_not_read(built: Built, make_machine: Make) -> None:
    """A deployment was interrupted after it had written them."""
    machine = make_machine(built.first)
    machine.deploy(built.old)
    machine.systemd.units = {}
    machine.deploy(built.old)
    assert machine.systemd.calls[-1] == "systemctl daemon-reload"
    assert "nothing to do" in machine.deploy(built.old)


def test_sockets_are_opened_while_the_service_is_stopped(built: Built, make_machine: Make) -> None:
    machine = make_machine(built.first)
    machine.deploy(built.old)
    done = len(machine.systemd.calls)
    machine.deploy(built.old, "--sockets", "--no-start")
    assert machine.systemd.calls[done:] == ["systemctl daemon-reload"]
    assert machine.carries_messages()
    done = len(machine.systemd.calls)
    dry = machine.deploy(built.old, "--sockets", "--dry-run")
    assert "would do: systemctl stop wsgw.service\n" in dry
    assert "would do: systemctl enable --now wsgw.socket\n" in dry
    said = machine.deploy(built.old, "--sockets")
    assert "systemd opens its ports" in said
    assert machine.systemd.calls[done:] == [
        "systemctl stop wsgw.service",
        "systemctl enable wsgw.socket",
        "systemctl restart wsgw.socket",
        "systemctl enable wsgw.service",
        "systemctl start wsgw.service",
    ]
    assert machine.systemd.enabled == {"wsgw.service", "wsgw.socket"}
    assert "nothing to do" in machine.deploy(built.old)
    pid, done = machine.systemd.main_pid, len(machine.systemd.calls)
    machine.deploy(built.old, "--no-sockets")
    assert machine.systemd.calls[done:] == ["systemctl disable --now wsgw.socket", "systemctl daemon-reload"]
    assert machine.systemd.main_pid == pid


def test_sockets_wait_for_the_start(built: Built, make_machine: Make) -> None:
    machine = make_machine(built.first)
    machine.deploy(built.old, "--sockets", "--no-start")
    assert machine.systemd.enabled == set()
    machine.deploy(built.old)
    assert machine.systemd.enabled == {"wsgw.service", "wsgw.socket"}


def test_undeploy_stops_the_service(built: Built, make_machine: Make) -> None:
    machine = make_machine(built.first)
    machine.deploy(built.old)
    machine.stage.run(built.old, "undeploy.sh", "--purge")
    assert not accepts(machine.port)
    assert machine.systemd.accounts == set()
    assert not any("wsgw" in path for path in machine.stage.snapshot())
