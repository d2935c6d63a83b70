"""The command: its arguments, its exit status, and the bounds of its checks."""

from __future__ import annotations

import getpass
import json
import math
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from tests.support.processes import Child, run_wsgw
from wsgw.config.files import SEARCHED
from wsgw.config.model import Config
from wsgw.config.source import Source
from wsgw.doctor import command
from wsgw.doctor.command import CHECKS, UNUSABLE, Arguments, doctor, examine
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Account, Check, Inquiry
from wsgw.errors import ConfigError, ConfigProblem

INQUIRY = Inquiry(("example.org",), Source())
FINE = Finding("a.b", "x", Verdict.OK, "works")


def test_a_check_that_takes_too_long_is_a_finding_and_the_next_one_runs() -> None:
    def slow(_inquiry: Inquiry) -> Iterator[Finding]:
        yield FINE
        gevent.sleep(30)

    def quick(_inquiry: Inquiry) -> Iterator[Finding]:
        yield FINE

    first, late, last = examine(INQUIRY, [Check("slow", slow, 0.05), Check("quick", quick)])
    assert first == last == FINE
    assert (late.check, late.verdict) == ("slow.time", Verdict.FAILED)
    assert "within 0.05 s" in late.what


def test_a_fault_in_a_check_is_a_finding_and_the_next_one_runs(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_inquiry: Inquiry) -> Iterator[Finding]:
        yield FINE
        raise ZeroDivisionError

    def quick(_inquiry: Inquiry) -> Iterator[Finding]:
        yield FINE

    first, fault, last = examine(INQUIRY, [Check("broken", broken), Check("quick", quick)])
    assert first == last == FINE
    assert (fault.check, fault.verdict) == ("broken.fault", Verdict.FAILED)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_quick_leaves_out_what_waits() -> None:
    def check(_inquiry: Inquiry) -> Iterator[Finding]:
        yield FINE

    checks = [Check("idle", check, waits=True)]
    assert list(examine(INQUIRY, checks)) == [FINE]
    assert list(examine(Inquiry((), Source(), quick=True), checks)) == []


def test_a_password_is_in_no_representation() -> None:
    account = Account("alice", "example.org", "open sesame")
    assert "sesame" not in repr(Inquiry((), Source(), account=account))


def test_the_names_of_the_checks_are_unique() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_every_error_of_the_configuration_is_a_finding(tmp_path: Path) -> None:
    config = tmp_path / "ejabberd.cfg"
    config.write_text('{hosts, ["localhost"]}.\n{listen, [{5288, websocket_session, [{max_sesions, 5}]}]}.\n')
    done = run_wsgw("doctor", "--json", "--config", config)
    assert done.returncode == 2, done.stderr
    found = json.loads(done.stdout)
    assert {finding["verdict"] for finding in found} == {"failed"}
    assert {finding["check"] for finding in found} == {"configuration.valid"}
    (typo,) = [finding for finding in found if "max_sessions" in finding["what"]]
    assert typo["subject"] == f"{config}:2"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"domain": "exa mple.org"}, "DOMAIN: exa mple.org: "),
        ({"account": "alice"}, "--account: alice is no bare JID"),
        ({"account": "alice@example.org/x"}, "is no bare JID"),
        ({"resolver": "127.0.0.1:dns"}, "--resolver: 127.0.0.1:dns is no IP:PORT"),
        ({"resolver": "dns.example"}, "--resolver: dns.example is no IP:PORT"),
        ({"resolver": "dns.example:53"}, "--resolver: dns.example:53 is no IP:PORT"),
        ({"url": "https://example.org/ws"}, "--url: https://example.org/ws is no address"),
        ({"url": "wss://[example"}, r"--url: wss://\[example is no address"),
        ({"origin": "example.org"}, "--origin: example.org is no address"),
        ({"cafile": "/nonexistent"}, "--cafile: /nonexistent: No such file"),
        ({"cafile": __file__}, f"--cafile: {__file__} has no certificate"),
        ({"idle": math.nan}, "--idle: nan s is not above 0"),
        ({"account": "alice@example.org"}, "no password: set WSGW_PASSWORD"),
    ],
)
def test_misuse_is_reported_with_the_argument(
    arguments: dict[str, object], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_terminal(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", no_terminal)
    with pytest.raises(ConfigError, match=reason):
        doctor(Arguments(Source(), **arguments))  # type: ignore[arg-type]


def test_without_a_configuration_of_wsgw_only_the_outside_is_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A modern ejabberd's own file has no gateway. A file that was named must be usable."""
    monkeypatch.setattr(command, "CHECKS", ())
    monkeypatch.delenv("WSGW_CONFIG", raising=False)
    monkeypatch.setattr(command, "find_config", lambda *_: SEARCHED[-1])
    monkeypatch.setattr(Source, "read", lambda source: load_nothing(source))
    assert doctor(Arguments(Source(), domain="example.org")) == 0
    ejabberds = f"{SEARCHED[-1]} is ejabberd's own file"
    assert f"– inside: only the outside is checked: {ejabberds} → name a file" in capsys.readouterr().out
    assert doctor(Arguments(Source())) == UNUSABLE
    assert doctor(Arguments(Source("wsgw.yml"), domain="example.org")) == UNUSABLE
    monkeypatch.setattr(command, "find_config", lambda *_: SEARCHED[0])
    assert doctor(Arguments(Source(), domain="example.org")) == UNUSABLE


def load_nothing(source: Source) -> Config:
    raise ConfigError([ConfigProblem("x.yml", 1, "no listener here:\n  listen:")])


def test_an_interrupted_command_ends_at_once_without_a_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        upstream = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        config = tmp_path / "wsgw.yml"
        config.write_text(
            "hosts: [localhost]\nlisten:\n- {module: websocket_session, port: 1, ip: 127.0.0.1,"
            f" upstream: '{upstream}', request_handlers: {{/ws: mod_websocket}}}}\n"
        )
        child = Child([sys.executable, "-m", "wsgw", "doctor", "--config", str(config)], tmp_path / "log")
        silent.settimeout(30)
        connection, _ = silent.accept()
        os.kill(child.pid, signal.SIGINT)
        assert child.wait(10) == -signal.SIGINT
        connection.close()
    assert "Traceback" not in child.text()
    assert "valid; hosts localhost" in child.text()
