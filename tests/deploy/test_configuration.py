"""The first wsgw.yml: from an old ejabberd.cfg, a modern ejabberd.yml or arguments; and never a second."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import Built
from tests.deploy.staging import Stage
from tests.support.certificates import Certificate
from tests.support.processes import ROOT
from wsgw.config import load
from wsgw.config.model import Config

EXAMPLE = ROOT / "ejabberd.cfg.example"
OLD_CFG = """\
%% -*- erlang -*-
{{loglevel, 4}}.
{{hosts, ["example.org", "static.example.org"]}}.
{{listen, [
  {{5222, ejabberd_c2s, [{{access, c2s}}, {{shaper, c2s_shaper}}, {{max_stanza_size, 65536}},
    starttls_required, {{certfile, "{pem}"}}]}},
  {{{{5288, {{127,0,0,1}}}}, websocket_session, [
    {{request_handlers, [{{["ws-xmpp"], mod_websocket}}, {{["chat", "ws"], mod_websocket}}]}},
    {{tls, true}}, {{certfile, "{pem}"}},
    {{websocket_ping_interval, 45}}, {{max_connect_rate_per_ip, {{20, 60}}}}, {{shaper, fast}},
    {{websocket_origin, ["https://example.org"]}}, {{max_sessions_per_ip, infinity}}, {{drain_timeout, 12}}
  ]}}
]}}.
{{trusted_proxies, ["10.0.0.0/8"]}}.
{{log_format, json}}.
{{trace, ["192.0.2.0/24", "juliet@example.org/balcony", "romeo@example.org"]}}.
{{shaper, fast, {{maxrate, 50000}}}}.
{{modules, [{{mod_roster, []}}]}}.
{{host_config, "example.org", [{{{{add, modules}}, [{{mod_websocket, []}}]}}]}}.
{{odbc_server, {{mysql, "localhost", "db", "user", "secret"}}}}.
"""
MODERN_YML = """\
hosts: [example.org, example.net]
certfiles: ["{pem}"]
sql_password: secret
trusted_proxies: ["192.0.2.1"]
listen:
  -
    port: {port}
    ip: "::"
    module: ejabberd_c2s
    max_stanza_size: 100000
    starttls_required: true
  -
    port: 5443
    module: ejabberd_http
"""


def written_from(folder: Path, source: Path | None, *arguments: str) -> tuple[Path, str]:
    """Run the command of deploy.sh; the file that it wrote, and its output."""
    argv = [
        sys.executable,
        str(ROOT / "deploy/write_config.py"),
        str(folder),
        "--etc",
        str(folder),
        *arguments,
    ]
    if source is not None:
        argv += ["--ejabberd", str(source)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "wsgw.yml", done.stdout


def comparable(config: Config) -> Config:
    """Without the names of the source files and the values that depend on the machine."""
    by_machine: dict[str, Any] = {"certfiles": (), "upstream_certfiles": (), "max_sessions": 0}
    listeners = tuple(replace(listener, **by_machine) for listener in config.listeners)
    return replace(config, source="", listeners=listeners, warnings=(), certfiles=())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to write to."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def old_cfg(tmp_path: Path, certificate: Certificate) -> Path:
    path = tmp_path / "ejabberd.cfg"
    path.write_text(OLD_CFG.format(pem=certificate.pem))
    return path


def test_old_file_and_the_written_one_mean_the_same(folder: Path, old_cfg: Path) -> None:
    written, _ = written_from(folder, old_cfg)
    config = load(written)
    assert comparable(replace(config, admin_listeners=())) == comparable(load(old_cfg))
    # The only setting that an old file cannot have.
    assert [(one.ip, one.port) for one in config.admin_listeners] == [("127.0.0.1", 5289)]
    (listener,) = config.listeners
    assert (str(listener.upstream[0]), listener.shaper, listener.max_stanza_size) == (
        "starttls://127.0.0.1:5222",
        50000,
        65536,
    )


def test_the_old_name_of_the_listener_becomes_the_current_one(folder: Path, old_cfg: Path) -> None:
    old_cfg.write_text(old_cfg.read_text().replace("websocket_session", "ejabberd_websocket"))
    written, said = written_from(folder, old_cfg)
    assert "module: websocket_session" in written.read_text()
    assert "ejabberd_websocket" not in written.read_text()
    assert comparable(replace(load(written), admin_listeners=())) == comparable(load(old_cfg))
    assert "remove the tuples ejabberd_websocket and mod_websocket from" in said


def test_every_option_is_carried_over(folder: Path) -> None:
    """The example shows all of them."""
    written, _ = written_from(folder, EXAMPLE)
    assert comparable(load(written)) == comparable(load(EXAMPLE))


def test_no_setting_of_ejabberd_itself_is_carried_over(folder: Path, old_cfg: Path) -> None:
    written, _ = written_from(folder, old_cfg)
    assert "secret" not in written.read_text()
    assert "static.example.org" not in written.read_text()


def test_the_output_names_the_settings_taken_and_the_next_steps(folder: Path, old_cfg: Path) -> None:
    _, said = written_from(folder, old_cfg)
    assert "copied from" in said
    assert "port 5288, /ws-xmpp, /chat/ws" in said
    assert "to do: remove the tuples websocket_session and mod_websocket from" in said


@pytest.mark.root
def test_the_output_says_how_to_make_the_certificate_readable(
    folder: Path, old_cfg: Path, certificate: Certificate
) -> None:
    own = old_cfg.parent / "its own"
    own.mkdir(mode=0o700)
    pem = own / "both.pem"
    pem.write_bytes(certificate.pem.read_bytes())
    old_cfg.write_text(OLD_CFG.format(pem=pem))
    _, said = written_from(folder, old_cfg)
    assert f"setfacl -m u:wsgw:x '{own}' && setfacl -m u:wsgw:r '{pem}'\n" in said


@pytest.mark.root
def test_certificates_the_account_may_not_read_are_copied_without_keys(
    folder: Path, tmp_path: Path, certificate: Certificate
) -> None:
    source = tmp_path / "ejabberd.yml"
    source.write_text(MODERN_YML.format(pem=certificate.pem, port=5222))
    written, said = written_from(folder, source)
    copied = folder / "upstream-certificates.pem"
    assert b"PRIVATE" not in copied.read_bytes()
    assert copied.read_bytes().strip() == certificate.chain.read_bytes().strip()
    assert load(written).listeners[0].upstream_certfiles == (copied,)
    assert "copied without keys" in said


@pytest.mark.root
def test_a_modern_file_that_the_account_may_not_read_is_carried_over(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "ejabberd.yml"
    source.write_text(MODERN_YML.format(pem="/nowhere.pem", port=5222))
    written, said = written_from(folder, source)
    config = load(written)
    assert config.hosts == ("example.org", "example.net")
    assert [str(one) for one in config.listeners[0].upstream] == [
        "starttls://127.0.0.1:5222",
        "starttls://[::1]:5222",
    ]
    assert config.listeners[0].max_stanza_size == 100000
    assert [str(network) for network in config.trusted_proxies] == ["192.0.2.1/32"]
    assert "include_config_file" not in written.read_text()
    assert "to do: when they change there, change wsgw.yml too" in said


def test_a_modern_file_that_the_account_may_read_is_included(
    built: Built, make_stage: Callable[[Path | None], Stage], certificate: Certificate
) -> None:
    stage = make_stage(built.first)
    for folder in (*stage.root.parents, stage.root):
        if folder.is_relative_to(built.first.parent.parent.parent):
            folder.chmod(0o755)
    stage.config.unlink()
    stage.write("etc/ejabberd/ejabberd.yml", MODERN_YML.format(pem=certificate.pem, port=5222))
    stage.deploy(built.old, "--no-start")
    assert "../ejabberd/ejabberd.yml:" in stage.config.read_text()
    assert load(stage.config).hosts == ("example.org", "example.net")
    stage.write(
        "etc/ejabberd/ejabberd.yml", MODERN_YML.format(pem=certificate.pem, port=5299).replace("net", "com")
    )
    assert load(stage.config).hosts == ("example.org", "example.com")
    assert load(stage.config).listeners[0].upstream[0].port == 5299


def test_without_tls_the_new_listener_is_on_loopback(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "ejabberd.yml"
    source.write_text(MODERN_YML.format(pem="/nowhere.pem", port=5222))
    (listener,) = load(written_from(folder, source)[0]).listeners
    assert (listener.ip, listener.port, listener.tls) == ("127.0.0.1", 5288, False)
    assert ["/".join(handler.path) for handler in listener.request_handlers] == ["ws-xmpp"]


def test_arguments_make_a_configuration(folder: Path) -> None:
    written, _ = written_from(
        folder,
        None,
        "--domain",
        "example.org",
        "--domain",
        "example.net",
        "--upstream",
        "tls://192.0.2.7:5223",
    )
    config = load(written)
    assert config.hosts == ("example.org", "example.net")
    assert [str(one) for one in config.listeners[0].upstream] == ["tls://192.0.2.7:5223"]


def test_errors_of_the_old_file_have_their_lines(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "ejabberd.cfg"
    source.write_text('{hosts, ["a"]}.\n{listen, [{5288, websocket_session, [{tls, maybe}]}]}.\n')
    argv = [sys.executable, str(ROOT / "deploy/write_config.py"), str(folder), "--ejabberd", str(source)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"{source}:2: tls:" in done.stderr
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("etc/ejabberd/ejabberd.cfg", OLD_CFG),
        ("etc/ejabberd/ejabberd.yml", MODERN_YML),
        ("opt/ejabberd/conf/ejabberd.yml", MODERN_YML),
    ],
    ids=["erlang", "yaml", "installer"],
)
def test_a_deployment_next_to_an_ejabberd_works(
    built: Built,
    make_stage: Callable[[Path | None], Stage],
    certificate: Certificate,
    place: str,
    text: str,
) -> None:
    stage = make_stage(built.first)
    stage.config.unlink()
    stage.write(place, text.format(pem=certificate.pem, port=5222))
    said = stage.deploy(built.old)
    assert f"from /{place}" in stage.config.read_text()
    checked = stage.python("-m", "wsgw", "check", "--config", str(stage.config))
    assert (checked.returncode, "example.org" in checked.stdout) == (0, True), checked.stderr
    assert "hosts served: example.org" in said
    before = stage.config.stat().st_mtime_ns
    stage.write(place, "changed")
    stage.deploy(built.old)
    assert stage.config.stat().st_mtime_ns == before
