"""The health check of deployments and of the image, against real gateways."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificate
from tests.support.gateway import ERLANG_CONFIG, Gateway
from tests.support.processes import ROOT, Child, ReservedPort
from tests.support.servers import Server

ANSWER = """\
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.rfile.readline()
        self.wfile.write(sys.argv[2].encode() + b"\\r\\n\\r\\n")
socketserver.TCPServer.allow_reuse_address = True
socketserver.TCPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
#: The first handler is no WebSocket; the second listener has none.
WITH_PAGES = """\
{{hosts, ["{domain}"]}}.
{{listen, [
  {{{c2s_port}, ejabberd_c2s, []}},
  {{{ws_port}, websocket_session, [
    {{request_handlers, [{{"/.well-known", mod_host_meta}}, {{"/ws", mod_websocket}}]}}
  ]}},
  {{{wss_port}, websocket_session, [{{acme_challenge_dir, "/var/empty"}}]}}
]}}.
"""


def health(config: Path, *arguments: str, program: str = "health.py") -> tuple[int, str]:
    argv = [sys.executable, str(ROOT / "deploy" / program), *arguments, str(config)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert not done.stderr
    return done.returncode, done.stdout


@pytest.fixture
def gateway(tmp_path: Path, certificate: Certificate) -> Iterator[Callable[..., Gateway]]:
    running: list[Gateway] = []

    def start(upstream: int = 5222, **options: Any) -> Gateway:
        running.append(Gateway(tmp_path / str(len(running)), certificate, upstream, **options).start())
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.mark.parametrize(
    "ws_options",
    ["", "{use_proxy_protocol, true}, ", '{websocket_origin, ["https://example.org"]}, '],
    ids=["plain", "proxy", "origin"],
)
def test_a_gateway_that_serves_on_both_ports_is_healthy(
    gateway: Callable[..., Gateway], ws_options: str
) -> None:
    assert health(gateway(ws_options=ws_options).config) == (0, "")


def test_a_listener_whose_pages_come_first_or_alone_is_healthy(gateway: Callable[..., Gateway]) -> None:
    assert health(gateway(config=WITH_PAGES).config) == (0, "")


@pytest.mark.parametrize("ws_options", ["", "{use_proxy_protocol, true}, "], ids=["direct", "proxy"])
def test_a_listener_that_asks_for_certificates_is_healthy(
    gateway: Callable[..., Gateway], certificate: Certificate, ws_options: str
) -> None:
    """The check has none, and gets the alert that says so."""
    verified = f'{{{{tls, true}}}}, {{{{tls_verify, true}}}}, {{{{cafile, "{certificate.ca}"}}}}'
    config = ERLANG_CONFIG.replace("{{tls, true}}", verified)
    assert health(gateway(config=config, ws_options=ws_options).config) == (0, "")


def test_a_path_that_needs_encoding_is_healthy(gateway: Callable[..., Gateway]) -> None:
    config = ERLANG_CONFIG.replace('"ws-xmpp"', '"w s", "a/b", "\u20ac"')
    assert health(gateway(config=config).config) == (0, "")


def test_a_stopped_gateway_is_not_healthy(gateway: Callable[..., Gateway]) -> None:
    one = gateway()
    one.stop()
    status, said = health(one.config)
    assert status == 1
    assert said.count("Connection refused") == 2


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """``answering(line)``: the port of a server that answers every request with that line."""
    children: list[Child] = []
    ports: list[ReservedPort] = []

    def start(line: str) -> int:
        ports.append(ReservedPort())
        number = ports[-1].number
        children.append(Child([sys.executable, "-c", ANSWER, str(number), line], tmp_path / f"log{number}"))
        children[-1].wait_for_ports(number)
        return number

    yield start
    for child in children:
        child.kill()
    for port in ports:
        port.release()


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        ("HTTP/1.1 101 Switching Protocols", 0, ""),
        ("HTTP/1.1 503 Service Unavailable", 1, "expected 101, got HTTP/1.1 503 Service Unavailable"),
        ("SSH-2.0-OpenSSH", 1, "no HTTP answer but 'SSH-2.0-OpenSSH"),
        ("", 1, "no HTTP answer but"),
    ],
    ids=["upgraded", "refused", "not-http", "empty"],
)
def test_the_answer_of_the_websocket_decides(
    tmp_path: Path, answering: Callable[[str], int], line: str, status: int, reason: str
) -> None:
    config = tmp_path / "wsgw.yml"
    config.write_text(
        f"hosts: [localhost]\nlisten:\n- {{port: {answering(line)}, ip: '127.0.0.1', "
        "module: websocket_session, upstream: 'tcp://127.0.0.1:5222', "
        "request_handlers: {/ws-xmpp: mod_websocket}}\n"
    )
    assert health(config)[0] == status
    assert reason in health(config)[1]


@pytest.mark.parametrize("arguments", [(), ("--ready",)], ids=["healthy", "ready"])
@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("HTTP/1.1 200 OK", 0),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\nit is late", 1),
        ("SSH-2.0-OpenSSH", 1),
    ],
    ids=["yes", "no", "not-http"],
)
@pytest.mark.parametrize(
    "form",
    ["{%d, wsgw_admin, [{ip, {127,0,0,1}}]}", '{{%d, "127.0.0.1"}, wsgw_admin, []}'],
    ids=["ip", "pair"],
)
def test_the_admin_listener_is_checked(
    tmp_path: Path,
    answering: Callable[[str], int],
    line: str,
    status: int,
    form: str,
    arguments: tuple[str, ...],
) -> None:
    config = tmp_path / "ejabberd.cfg"
    handlers = '{request_handlers, [{["ws"], mod_websocket}]}'
    websocket = answering("HTTP/1.1 101 Switching Protocols")
    config.write_text(
        '{hosts, ["localhost"]}.\n{listen, [{5222, ejabberd_c2s, []},\n'
        f"{{{websocket}, websocket_session, [{{ip, {{127,0,0,1}}}}, {handlers}]}},\n"
        f"{form % answering(line)}]}}.\n"
    )
    found, said = health(config, *arguments)
    page = "/readyz" if arguments else "/healthz"
    assert (found, page in said, "it is late" in said) == (status, status != 0, "late" in line)


def test_an_admin_listener_that_does_not_answer_is_not_healthy(
    tmp_path: Path, answering: Callable[[str], int]
) -> None:
    port = ReservedPort()
    config = tmp_path / "wsgw.yml"
    websocket = answering("HTTP/1.1 404 Not Found")
    config.write_text(
        f"hosts: [localhost]\nlisten:\n- {{port: {websocket}, ip: '127.0.0.1', "
        "module: websocket_session, upstream: 'tcp://127.0.0.1:5222'}\n"
        f"- {{port: {port.number}, ip: '127.0.0.1', module: wsgw_admin}}\n"
    )
    status, said = health(config)
    assert (status, f"/healthz on 127.0.0.1:{port.number}: " in said) == (1, True)
    port.release()


@pytest.fixture
def with_admin(gateway: Callable[..., Gateway]) -> Iterator[Callable[[int], Path]]:
    """``with_admin(upstream)``: the configuration of a gateway with an admin listener."""
    port = ReservedPort()

    def start(upstream: int) -> Path:
        one = gateway(upstream, top_level=f"{{listen, [{{{port.number}, wsgw_admin, []}}]}}.\n")
        one.child.wait_for_ports(port.number)
        return one.config

    yield start
    port.release()


def test_a_gateway_without_its_server_is_healthy_but_not_ready(with_admin: Callable[[int], Path]) -> None:
    nobody = ReservedPort()
    config = with_admin(nobody.number)
    assert health(config) == (0, "")
    status, said = health(config, "--ready")
    assert (status, "No XMPP server answers" in said) == (1, True)
    status, said = health(config, program="upstream.py")
    assert (status, "Connection refused" in said) == (1, True)
    nobody.release()


def test_a_gateway_whose_server_answers_is_ready(
    with_admin: Callable[[int], Path], start_server: Callable[[str], Server]
) -> None:
    config = with_admin(start_server("demo").c2s_port)
    assert health(config, "--ready") == (0, "")
    assert health(config, program="upstream.py") == (0, "")


def test_an_unreadable_configuration_is_not_healthy(tmp_path: Path) -> None:
    status, said = health(tmp_path / "wsgw.yml")
    assert status == 1
    assert "does not exist" in said
