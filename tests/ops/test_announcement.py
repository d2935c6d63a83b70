"""The lines at the start say where the gateway listens, what protects it, and where its status is."""

from __future__ import annotations

import logging
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.certificates import Certificate
from tests.support.processes import ROOT, ReservedPort
from wsgw.config import load
from wsgw.config.pem import PemFiles
from wsgw.ops.announcement import log_start

LISTENER = "{port: %d, ip: %s, module: websocket_session, request_handlers: {/ws-xmpp: mod_websocket}, %s}"
TOP = "hosts: [example.org]\nlisten:\n  - {port: 5222, module: ejabberd_c2s}\n"


def lines_of(folder: Path, caplog: pytest.LogCaptureFixture, *listeners: str, top: str = "") -> list[str]:
    """The INFO lines at the start of a gateway with these listeners."""
    path = folder / "wsgw.yml"
    path.write_text(TOP + "".join(f"  - {listener}\n" for listener in listeners) + top)
    caplog.set_level(logging.INFO, "wsgw.gateway")
    config = load(path)
    log_start(config, PemFiles.of(config), "a reader of stanzas")
    return [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]


def test_a_listener_has_the_urls_for_clients_its_upstream_and_its_limits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = "max_sessions_per_ip: infinity, websocket_origin: [https://chat.example.org]"
    lines = lines_of(tmp_path, caplog, LISTENER % (5288, "127.0.0.1", options))
    assert re.fullmatch(
        r"wsgw \S+ listens on ws://127\.0\.0\.1:5288/ws-xmpp, upstream tcp://127\.0\.0\.1:5222, "
        r"hosts example\.org",
        lines[0],
    )
    assert lines[1:] == [
        "port 5288: no TLS, open to this machine only; for web pages of https://chat.example.org; limits: "
        "connections from one address none, bytes of a stanza 262144, before login 10000",
        "reads frames and stanzas with a reader of stanzas",
        "logs lines of level info and above to standard error",
    ]


def test_a_listener_with_tls_says_how_long_its_certificate_is_valid(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, certificate: Certificate
) -> None:
    options = f"tls: true, certfile: {certificate.pem}"
    lines = lines_of(tmp_path, caplog, LISTENER % (5288, "0.0.0.0", options))
    assert "listens on wss://example.org:5288/ws-xmpp, " in lines[0]
    assert re.match(r"port 5288: TLS, certificate valid until \d{4}-\d\d-\d\d; for all web pages; ", lines[1])


def test_a_listener_without_a_websocket_has_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pages = "{port: 80, module: websocket_session, acme_challenge_dir: acme}"
    lines = lines_of(tmp_path, caplog, pages)
    assert re.fullmatch(r"wsgw \S+ listens on port 80, without a WebSocket", lines[0])
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("top", "shown"),
    [
        ("trusted_proxies: [10.0.0.1]\n", "no TLS, behind trusted proxies"),
        ("trusted_proxies: all\n", "no TLS, behind trusted proxies"),
        ("", "no TLS, open to other machines"),
    ],
)
def test_a_plain_listener_says_who_can_reach_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, top: str, shown: str
) -> None:
    lines = lines_of(tmp_path, caplog, LISTENER % (5288, "0.0.0.0", "tls: false"), top=top)
    assert lines[1].startswith(f"port 5288: {shown}; ")


def test_the_admin_listener_has_the_url_of_its_status_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    admin = '{port: 5289, ip: "::1", module: wsgw_admin}'
    lines = lines_of(tmp_path, caplog, LISTENER % (5288, "127.0.0.1", "tls: false"), admin)
    assert "port 5289: status page http://[::1]:5289/status" in lines


def test_every_warning_is_logged_before_the_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines_of(tmp_path, caplog, LISTENER % (5288, "127.0.0.1", "max_stanza_size: infinity"))
    levels = [record.levelno for record in caplog.records]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == logging.WARNING


@pytest.mark.slow
def test_a_person_at_a_terminal_gets_short_lines() -> None:
    port = ReservedPort()
    ours, theirs = pty.openpty()
    listen = ["--listen", f"127.0.0.1:{port.number}", "--domain", "localhost"]
    command = [sys.executable, "-m", "wsgw", *listen, "--upstream", "tcp://127.0.0.1:1", "--offline"]
    with subprocess.Popen(command, cwd=ROOT, stderr=theirs, stdin=subprocess.DEVNULL) as gateway:
        try:
            with open(ours, "rb", buffering=0) as terminal:
                first = terminal.readline()
        finally:
            gateway.terminate()
            port.release()
    assert re.match(rb"\d\d:\d\d:\d\d wsgw \S+ listens on ws://127.0.0.1:", first)
