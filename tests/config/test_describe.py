from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from wsgw.config import describe, from_arguments, load, options_table
from wsgw.config.model import ListenerConfig
from wsgw.config.options import OPTIONS

from .snippets import FIXTURES, listener, load_text


def test_every_setting_is_shown() -> None:
    shown = describe(load(FIXTURES / "ejabberd-2.1.cfg"))
    names = {line.split()[0] for line in shown.splitlines() if line.startswith("  ")}
    expected = {field.name for field in fields(ListenerConfig)} - {"port", "max_connect_burst_per_ip"}
    assert expected <= names
    assert {"hosts", "trusted_proxies", "certfiles", "drain_timeout"} <= names


def test_values_are_shown_as_they_are_written() -> None:
    lines = [" ".join(line.split()) for line in describe(load(FIXTURES / "ejabberd-23.yml")).splitlines()]
    for line in (
        "hosts localhost, example.org",
        "trusted_proxies 127.0.0.1/32, fd00::/8",
        "listener on 127.0.0.1:5288",
        "request_handlers /ws-xmpp mod_websocket",
        "upstream starttls://127.0.0.1:5222, starttls://[::1]:5222",
        "websocket_timeout 600",
        "websocket_origin any (default)",
        "max_connect_rate_per_ip {20, 100}",
        "tls false (default)",
        "see_other_uri none (default)",
    ):
        assert line in lines


def test_infinities(tmp_path: Path) -> None:
    options = (
        "{websocket_timeout, infinity}, {max_sessions_per_ip, infinity}, {max_connect_rate_per_ip, infinity}"
    )
    shown = describe(load_text(tmp_path, listener(options) + "{trusted_proxies, all}."))
    assert sum("infinity" in line for line in shown.splitlines()) == 4, "and upgrade_timeout"
    assert "trusted_proxies           all" in shown


def test_the_command_line_is_a_source() -> None:
    shown = describe(from_arguments("[::1]:5288", ["a"], ["srv:a"]))
    assert shown.startswith("configuration: the command line\n")
    assert "listener on [::1]:5288" in shown


def test_the_table_has_a_row_for_every_option() -> None:
    rows = [line for line in options_table().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [option.name for option in OPTIONS]
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)
