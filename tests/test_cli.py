"""The commands as an admin runs them: their output, their exit status, and the stop of the gateway."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.certificates import Certificate, make_certificate
from tests.support.gateway import Gateway
from tests.support.processes import ROOT, Child, ReservedPort, run_wsgw, wait_until
from tests.support.wire import OPENINGS, SECONDS, Browser, XmppServer, frame
from wsgw import __version__

pytestmark = pytest.mark.slow

STOP = (signal.SIGTERM, signal.SIGINT)
#: With a browser's connection, and perhaps one that tested whether the port is open.
STOPPING = re.compile(": stopping, [1-9] connections$", re.MULTILINE)
GOOD = """\
{hosts, ["localhost"]}.
{listen, [
  {5222, ejabberd_c2s, []},
  {%d, websocket_session, [
    %s{ip, {127,0,0,1}},
    {request_handlers, [{["ws-xmpp"], mod_websocket}]}
  ]}
]}.
"""
FIVE_MISTAKES = """\
{hosts, ["localhost"]}.
{listen, [
  {5222, ejabberd_c2s, []},
  {5288, websocket_session, [
    {max_sesions, 5},
    {tls, maybe},
    {handshake_timeout, -1},
    {upstream, "http://localhost"},
    {request_handlers, [{["ws-xmpp"], mod_websockets}]}
  ]}
]}.
"""


def written(folder: Path, text: str, name: str = "ejabberd.cfg") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.fixture
def port() -> Iterator[int]:
    reserved = ReservedPort()
    yield reserved.number
    reserved.release()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """``serve(*arguments)``: a gateway in the background, stopped in any case."""
    children: list[Child] = []

    def start(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Child:
        log = tmp_path / f"output-{len(children)}"
        children.append(Child([sys.executable, "-m", "wsgw", *map(str, arguments)], log, env))
        return children[-1]

    yield start
    for child in children:
        child.kill()


# -- check ------------------------------------------------------------------------------------------


def test_check_prints_the_settings_that_would_run(tmp_path: Path) -> None:
    config = written(tmp_path, GOOD % (5288, "{max_sessions, 5}, "))
    done = run_wsgw("check", "--offline", "--config", config)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"configuration: {config}\n")
    assert re.search(r"^listener on 127\.0\.0\.1:5288$", done.stdout, re.MULTILINE)
    assert re.search(r"^  max_sessions +5$", done.stdout, re.MULTILINE)
    assert re.search(r"^  upstream +tcp://127\.0\.0\.1:5222$", done.stdout, re.MULTILINE)
    assert re.search(r"^  handshake_timeout +10  \(default\)$", done.stdout, re.MULTILINE)
    assert re.search(
        r"^reads frames and stanzas with (native functions|pure Python \(.+\))$", done.stdout, re.MULTILINE
    )
    assert run_wsgw("--offline", "--config", config, "check").stdout == done.stdout, (
        "the option may stand before the command"
    )


def test_check_names_every_error_with_its_line(tmp_path: Path) -> None:
    config = written(tmp_path, FIVE_MISTAKES)
    done = run_wsgw("check", "--config", config)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [f"{config}:{number}" for number in range(5, 10)]
    assert all(line.partition(": ")[2] for line in lines)
    served = run_wsgw("--config", config)
    assert (served.returncode, served.stderr) == (2, done.stderr)


def test_check_warns_and_passes(tmp_path: Path) -> None:
    done = run_wsgw("check", "--config", written(tmp_path, GOOD % (5288, "{upstream_verify, false}, ")))
    assert done.returncode == 0
    assert done.stderr.startswith("warning: ")


@pytest.mark.parametrize("command", [["check"], []], ids=["check", "serve"])
def test_check_finds_every_error_of_pem_files(
    tmp_path: Path, certificate: Certificate, command: list[str]
) -> None:
    """Also the errors that only a TLS context shows, all at once."""
    other = make_certificate(tmp_path / "other", "other.example")
    mixed = written(tmp_path, certificate.chain.read_text() + other.key.read_text(), "mixed.pem")
    broken = written(tmp_path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "broken.pem")
    options = f'{{tls, true}}, {{certfile, "{mixed}"}}, {{upstream_cafile, "{broken}"}}, '
    done = run_wsgw(*command, "--config", written(tmp_path, GOOD % (5288, options)))
    assert (done.returncode, done.stdout) == (2, "")
    second, first = done.stderr.splitlines()
    line = f"{tmp_path}/ejabberd.cfg:5: "
    assert first.startswith(f"{line}{mixed} cannot be used as certfile: key values mismatch: ")
    assert "the key belongs to another certificate" in first
    assert second.startswith(f"{line}{broken} cannot be used as upstream_cafile: ")


@pytest.mark.parametrize("fault", ["missing", "no key", "no PEM"])
def test_a_bad_certfile_is_an_error(tmp_path: Path, certificate: Certificate, fault: str) -> None:
    certfile = {
        "missing": tmp_path / "none.pem",
        "no key": certificate.chain,
        "no PEM": written(tmp_path, "nothing", "nothing.pem"),
    }[fault]
    config = written(tmp_path, GOOD % (5288, f'{{tls, true}}, {{certfile, "{certfile}"}}, '))
    done = run_wsgw("check", "--config", config)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{config}:5: certfile: {certfile} ")


def test_a_missing_configuration_is_an_error(tmp_path: Path) -> None:
    done = run_wsgw("check", "--config", tmp_path / "none.yml")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path}/none.yml" in done.stderr
    assert "does not exist" in done.stderr


def test_the_environment_may_name_the_configuration(tmp_path: Path) -> None:
    config = written(tmp_path, GOOD % (5288, ""))
    done = run_wsgw("check", env={"WSGW_CONFIG": str(config)})
    assert done.stdout.startswith(f"configuration: {config}\n")
    other = written(tmp_path, GOOD % (5299, ""), "other.cfg")
    done = run_wsgw("check", "--config", other, env={"WSGW_CONFIG": str(config)})
    assert done.stdout.startswith(f"configuration: {other}\n"), "the command line overrides it"


# -- the rest of the command line -------------------------------------------------------------------


def test_options_prints_the_table() -> None:
    done = run_wsgw("options")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("# Options\n")
    assert "| `max_connect_rate_per_ip` |" in done.stdout


def test_version_prints_the_version() -> None:
    done = run_wsgw("--version")
    assert (done.returncode, done.stdout) == (0, f"wsgw {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--listen", "5288"],
        ["--listen", "5288", "--domain", "localhost"],
        ["--domain", "localhost", "--upstream", "tcp://127.0.0.1:5222"],
        ["--config", "x", "--listen", "5288", "--domain", "localhost", "--upstream", "tcp://127.0.0.1:5222"],
        ["--listen", "no port", "--domain", "localhost", "--upstream", "tcp://127.0.0.1:5222"],
        ["--listen", "5288", "--domain", "localhost", "--upstream", "nonsense"],
        ["--log-level", "chatty"],
        ["nonsense"],
    ],
)
def test_a_misused_command_is_an_error(arguments: list[str]) -> None:
    done = run_wsgw(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", STOP, ids=["TERM", "INT"])
def test_a_gateway_runs_without_a_file(serve: Callable[..., Child], port: int, number: int) -> None:
    server = XmppServer()
    upstream = f"tcp://127.0.0.1:{server.port}"
    arguments = ("--offline", "--listen", f"127.0.0.1:{port}")
    child = serve(*arguments, "--domain", "localhost", "--upstream", upstream)
    child.wait_for_ports(port)
    browser = Browser(port, first=frame(OPENINGS["rfc7395"]))
    connection = server.accept_stream()
    assert browser.message().startswith(b"<open ")
    child.signal(number)
    messages, code, reason = browser.until_close()
    assert b"<system-shutdown " in messages[-2]
    assert (code, reason) == (1012, "system-shutdown")
    assert connection.read_to_end() == b"", "a bare FIN: the session may be resumed"
    connection.close()
    browser.close()
    assert child.wait(SECONDS) == 0
    assert STOPPING.search(child.text())
    assert "Traceback" not in child.text()
    server.close()


@pytest.mark.parametrize("number", STOP, ids=["TERM", "INT"])
def test_a_gateway_without_sessions_stops_at_once(
    serve: Callable[..., Child], port: int, number: int
) -> None:
    child = serve("--listen", f"127.0.0.1:{port}", "--domain", "localhost", "--upstream", "tcp://127.0.0.1:1")
    child.wait_for_ports(port)
    child.signal(number)
    assert child.wait(SECONDS) == 0
    assert "Traceback" not in child.text()


def test_sighup_ends_no_session(serve: Callable[..., Child], port: int) -> None:
    server = XmppServer()
    arguments = ("--offline", "--listen", f"127.0.0.1:{port}", "--domain", "localhost")
    gateway = serve(*arguments, "--upstream", f"tcp://127.0.0.1:{server.port}")
    gateway.wait_for_ports(port)
    browser = Browser(port)
    browser.text(OPENINGS["rfc7395"])
    connection = server.accept_stream()
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: gateway.text().count(" listens on ") == 2, SECONDS, "the settings taken again")
    connection.send(b"<message/>")
    assert [browser.message() for _ in range(3)][2] == b"<message xmlns='jabber:client'/>"
    connection.close()
    browser.close()
    server.close()


def test_check_ends_in_order_when_its_pipe_is_closed(tmp_path: Path) -> None:
    config = written(tmp_path, GOOD % (5288, ""))
    check = shlex.join([sys.executable, "-m", "wsgw", "check", "--offline", "--config", str(config)])
    command = f"{check} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_second_signal_ends_the_gateway_at_once(serve: Callable[..., Child], port: int) -> None:
    """While a browser delays the stop by the first signal."""
    child = serve("--listen", f"127.0.0.1:{port}", "--domain", "localhost", "--upstream", "tcp://127.0.0.1:1")
    child.wait_for_ports(port)
    browser = Browser(port)
    child.signal(signal.SIGTERM)
    wait_until(lambda: STOPPING.search(child.text()) is not None, SECONDS, "the first signal")
    child.signal(signal.SIGTERM)
    assert child.wait(SECONDS) == 1
    assert "Traceback" not in child.text()
    browser.close()


def test_a_websocket_upgrade_after_the_stop_is_refused(
    serve: Callable[..., Child], port: int, tmp_path: Path
) -> None:
    """A request that ends after the stop has begun does not delay the end."""
    child = serve("--config", written(tmp_path, "{workers, 1}.\n" + GOOD % (port, "")))
    child.wait_for_ports(port)
    waiting = Browser(port)
    late = socket.create_connection(("127.0.0.1", port), SECONDS)
    late.settimeout(SECONDS)
    request = (
        b"GET /ws-xmpp HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: xmpp\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\n\r\n"
    )
    late.sendall(request[:-2])
    Browser(port).close()  # accepted after ``late``, so that one is being read by now
    child.signal(signal.SIGTERM)
    assert waiting.message().startswith(b"<open "), "the worker has begun to stop"
    late.sendall(request[-2:])
    assert late.recv(4096).startswith(b"HTTP/1.1 503 Service Unavailable: the gateway stops\r\n")
    waiting.until_close()
    waiting.close()
    late.close()
    assert child.wait(SECONDS) == 0


def test_a_port_in_use_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        config = written(tmp_path, GOOD % (port, ""))
        done = run_wsgw("--config", config)
        assert (done.returncode, done.stdout) == (2, "")
        line = f"{config}:5: cannot listen on 127.0.0.1 port {port}: Address already in use by "
        assert done.stderr.startswith(line)
        assert f" (process {os.getpid()}): stop it, or choose another port\n" in done.stderr
        checked = run_wsgw("check", "--config", config)
        assert checked.returncode == 0
        assert f"warning: {done.stderr}" in checked.stderr
        assert run_wsgw("check", "--offline", "--config", config).stderr == ""
        done = run_wsgw("demo", "--port", str(port))
        assert done.returncode == 2
        assert "Address already in use" in done.stderr


def test_an_address_of_another_machine_is_an_error(tmp_path: Path) -> None:
    done = run_wsgw("--listen", "192.0.2.1:5288", "--domain", "localhost", "--upstream", "tcp://127.0.0.1:1")
    assert done.returncode == 2
    assert done.stderr.startswith("command line: cannot listen on 192.0.2.1 port 5288: ")


def test_host_meta_writes_the_pages_of_a_domain(tmp_path: Path) -> None:
    config = written(tmp_path, GOOD % (5288, ""))
    done = run_wsgw("host-meta", "localhost", "--config", config, "--output", tmp_path / "pages")
    assert (done.returncode, done.stderr) == (0, "")
    assert 'href="wss://localhost/ws-xmpp"' in (tmp_path / "pages" / "host-meta").read_text()
    assert run_wsgw("--config", config, "host-meta", "other.example").returncode == 2


@pytest.mark.parametrize("number", STOP, ids=["TERM", "INT"])
def test_demo_serves_a_login(serve: Callable[..., Child], port: int, number: int) -> None:
    child = serve("demo", "--port", str(port))
    wait_until(lambda: "Ready: " in child.text() or child.returncode is not None, 30, "the demo")
    assert child.text().startswith(f"Open http://127.0.0.1:{port}/ in ")
    assert f"ws://127.0.0.1:{port}/ws-xmpp" in child.text()
    assert "NOT FOR PRODUCTION" in child.text()
    settings = json.load(urllib.request.urlopen(f"http://localhost:{port}/settings.json", timeout=SECONDS))
    assert [one["jid"] for one in settings["accounts"]] == ["alice@localhost", "bob@localhost"]
    page = urllib.request.urlopen(f"http://localhost:{port}/.well-known/host-meta", timeout=SECONDS).read()
    assert f'href="ws://127.0.0.1:{port}/ws-xmpp"'.encode() in page
    browser = Browser(port, first=frame(OPENINGS["rfc7395"]))
    assert browser.message().startswith(b"<open ")
    assert b"mechanisms" in browser.message()
    child.signal(number)
    assert browser.until_close()[1] == 1012
    browser.close()
    assert child.wait(SECONDS) == 0
    assert "Traceback" not in child.text()


@pytest.mark.parametrize("listen", ["0.0.0.0", "[::]:{port}"])
def test_a_demo_for_other_machines_has_a_certificate(
    serve: Callable[..., Child], port: int, listen: str
) -> None:
    child = serve("demo", "--port", str(port), "--listen", listen.format(port=port))
    wait_until(lambda: "Ready: " in child.text() or child.returncode is not None, 30, "the demo")
    page = re.match(rf"Open https://(\S+):{port}/ in ", child.text())
    assert page, child.text()
    assert f"wss://{page[1]}:{port}/ws-xmpp\n" in child.text()
    shown = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))
    assert f"\n  {hashlib.sha256(shown).digest().hex(':').upper()}\n" in child.text()
    assert child.terminate(SECONDS) == 0


@pytest.mark.parametrize("listen", ["localhost", "10.0.0.1:x", "::1:80:x"])
def test_the_demo_listens_on_an_address(listen: str) -> None:
    done = run_wsgw("demo", "--listen", listen)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"--listen: {listen!r} is not IP[:PORT], an IPv6 address in brackets\n"


def test_a_configuration_may_be_in_any_folder(certificate: Certificate, tmp_path: Path) -> None:
    """Relative names start at the folder of the file, wherever the command is run."""
    folder = tmp_path / "etc"
    folder.mkdir()
    written(folder, certificate.pem.read_text(), "both.pem")
    config = written(folder, GOOD % (5288, '{tls, true}, {certfile, "both.pem"}, '))
    done = run_wsgw("check", "--config", config)
    assert done.returncode == 0, done.stderr
    assert str(folder / "both.pem") in done.stdout


def test_a_gateway_starts_again_on_its_port(certificate: Certificate, tmp_path: Path) -> None:
    """Connections of the previous gateway in TIME_WAIT do not hold the port."""
    gateway = Gateway(tmp_path, certificate, 1)
    try:
        for _ in range(2):
            gateway.start()
            browser = Browser(gateway.ws_port)
            gateway.child.signal(signal.SIGTERM)
            browser.until_close()
            browser.close()
            assert gateway.child.wait(SECONDS) == 0
            gateway.child.kill()
    finally:
        gateway.close()


@pytest.mark.parametrize("before", [[], ["--config", "another.yml"]])
def test_check_takes_the_file_without_an_option(tmp_path: Path, before: list[str]) -> None:
    file = written(tmp_path, GOOD % (5288, ""))
    done = run_wsgw(*before, "check", str(file), "--offline")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"configuration: {file}\n")


def test_without_its_packages_it_says_how_to_install_them() -> None:
    done = subprocess.run([sys.executable, "-S", "-m", "wsgw"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(
        r"the package \w+ is missing for .*: run scripts/demo\.sh or scripts/deploy\.sh, which install all "
        r"packages, or pip install \.\n",
        done.stderr,
    )
