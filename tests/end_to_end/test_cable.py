"""A pulled cable between two network namespaces of the test: no FIN, no RST, no packet."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.support.fixtures import missing
from tests.support.network_namespaces import NetworkNamespace
from tests.support.processes import ROOT, Child, wait_until
from tests.support.wire import END, Connection, UnixXmppServer, within

#: Network and addresses of the cable: documentation addresses (RFC 5737).
HERE, THERE = "192.0.2.1", "192.0.2.2"
CLIENT = """
import sys
from tests.support.wire import OPENINGS, Browser
browser = Browser(int(sys.argv[1]), host=sys.argv[2])
browser.text(OPENINGS["rfc7395"])
browser.message(), browser.message()
print("logged in", flush=True)
while True:
    print(browser.message()[:40], flush=True)
"""


@contextmanager
def cable_between(folder: Path) -> Iterator[tuple[NetworkNamespace, NetworkNamespace]]:
    """Two namespaces with a virtual cable between them: (the gateway's, the browser's)."""
    with ExitStack() as stack:
        here = stack.enter_context(closing(NetworkNamespace(folder / "here.log")))
        there = stack.enter_context(closing(NetworkNamespace(folder / "there.log")))
        here.ip("link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", str(there.pid))
        for namespace, address in ((here, HERE), (there, THERE)):
            namespace.ip("address", "add", f"{address}/30", "dev", "cable")
            namespace.ip("link", "set", "cable", "up")
        yield here, there


@pytest.fixture
def cable(tmp_path: Path) -> Iterator[tuple[NetworkNamespace, NetworkNamespace]]:
    if shutil.which("ip") is None:
        missing("network namespaces need iproute2")
    try:
        with cable_between(tmp_path) as ends:
            yield ends
    except OSError as error:
        missing(f"no network namespaces here: {error}")
    except subprocess.CalledProcessError as error:
        missing(f"no network namespaces here: {error.stderr}")


CONFIG = """\
{hosts, ["localhost"]}.
{user, "root"}.
{listen, [
  {%d, websocket_session, [
    {ip, "%s"},
    {request_handlers, [{["ws-xmpp"], mod_websocket}]},
    {upstream, "unix:%s"},
    {websocket_ping_interval, 1}, {pong_timeout, 1}, {send_timeout, 2}, {send_buffer_high, 4096}
  ]}
]}.
"""
PORT = 5288  # no other program has the address


@pytest.fixture
def session(
    cable: tuple[NetworkNamespace, NetworkNamespace], tmp_path: Path
) -> Iterator[tuple[Connection, Callable[[], None]]]:
    """(the server's end of a session whose browser is across the cable, pull the cable)."""
    here, there = cable
    path = str(tmp_path / "xmpp")
    config = tmp_path / "ejabberd.cfg"
    config.write_text(CONFIG % (PORT, HERE, path))
    server = UnixXmppServer(path)
    gateway = here.inside(sys.executable, "-m", "wsgw", "--offline", "--config", str(config))
    children = [Child(gateway, tmp_path / "wsgw.log")]
    try:
        wait_until(lambda: "listens on" in children[0].text(), 10, "the gateway")
        environment = {"PYTHONPATH": str(ROOT)}
        browser = there.inside(sys.executable, "-c", CLIENT, str(PORT), HERE)
        children.append(Child(browser, tmp_path / "client.log", environment))
        connection = server.accept_stream()
        wait_until(lambda: "logged in" in children[1].text(), 10, "the login")
        yield connection, lambda: there.ip("link", "set", "cable", "down")
        assert children[0].terminate() == 0
    finally:
        for child in children:
            child.kill()
        server.close()


@pytest.mark.rule("bytes-ping")
def test_silence_is_noticed_by_the_ping(session: tuple[Connection, Callable[[], None]]) -> None:
    """Within ping interval, pong deadline and a sweep the server sees FIN, and no end tag."""
    connection, pull = session
    pull()
    with within(5):
        assert connection.read_to_end(5) == b""


def test_silence_is_noticed_while_the_server_talks(
    session: tuple[Connection, Callable[[], None]],
) -> None:
    """Bytes that nothing acknowledges fill the queues; that must not hide the silence."""
    connection, pull = session
    pull()
    connection.socket.settimeout(0.2)
    ended = b"not yet"
    with within(10):
        while ended:
            try:
                connection.send(b"<message><body>%s</body></message>" % (b"x" * 10_000))
                ended = connection.socket.recv(100)
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
    assert END not in ended


#: A run in the background of a shell inherits an ignored SIGINT.
HOLD = """
import signal, sys, time
from pathlib import Path
from tests.end_to_end.test_cable import cable_between
signal.signal(signal.SIGINT, signal.default_int_handler)
with cable_between(Path(sys.argv[1])) as (here, there):
    print(here.pid, there.pid, here.identity(), there.identity(), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda one: one.name)
def test_no_namespace_outlives_its_run(
    cable: tuple[NetworkNamespace, NetworkNamespace], tmp_path: Path, number: signal.Signals
) -> None:
    """However the run ends: neither a process nor a mount holds a namespace."""
    folder = tmp_path / "inner"
    folder.mkdir()
    python_path = {"PYTHONPATH": str(ROOT)}
    run = Child([sys.executable, "-c", HOLD, str(folder)], folder / "run.log", python_path)
    try:
        wait_until(lambda: "\n" in run.text(), 30, "the inner cable")
        *pids, here, there = run.text().split()
        holders = [Path("/proc", pid) for pid in pids]
        assert all(holder.exists() for holder in holders), run.text()
        run.signal(number)
        run.wait(30)
        wait_until(lambda: not any(holder.exists() for holder in holders), 30, "the end of the holders")
    finally:
        run.kill()
    held = Path("/proc/self/mountinfo").read_text()
    assert here not in held
    assert there not in held
