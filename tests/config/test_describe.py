from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from tests.config.snippets import CERTIFICATE, FIXTURES, KEY, listener, load_text
from wsgw.config import describe, from_arguments, load, options_table
from wsgw.config.admin_options import ADMIN_OPTIONS
from wsgw.config.command_line import DemoPages
from wsgw.config.model import HostAddresses, ListenerConfig
from wsgw.config.option import Scope
from wsgw.config.options import OPTIONS


def test_every_setting_is_shown() -> None:
    shown = describe(load(FIXTURES / "ejabberd-2.1.cfg"))
    names = {line.split()[0] for line in shown.splitlines() if line.startswith("  ")}
    expected = {field.name for field in fields(ListenerConfig)} - {"port", "max_connect_burst_per_ip"}
    assert expected <= names
    assert {"hosts", "trusted_proxies", "certfiles", "drain_timeout"} <= names


def test_values_are_shown_as_a_configuration_writes_them() -> None:
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


def test_an_unlimited_value_is_shown_by_its_name(tmp_path: Path) -> None:
    options = (
        "{websocket_timeout, infinity}, {max_sessions_per_ip, infinity}, {max_connect_rate_per_ip, infinity}"
    )
    shown = describe(load_text(tmp_path, listener(options) + "{trusted_proxies, all}."))
    assert shown.replace(str(tmp_path), "").count("infinity") == 4, "and upgrade_timeout"
    assert "trusted_proxies           all" in shown


def test_the_command_line_is_shown_as_a_source() -> None:
    shown = describe(from_arguments("[::1]:5288", ["a"], ["srv:a"]))
    assert shown.startswith("configuration: the command line\n")
    assert "listener on [::1]:5288" in shown


def test_the_addresses_of_host_meta_are_shown() -> None:
    """Only at a listener that serves the page."""
    config = from_arguments("127.0.0.1:5288", ["a"], ["srv:a"], DemoPages("ws://127.0.0.1:5288/ws-xmpp"))
    assert "  host-meta                 a: ws://127.0.0.1:5288/ws-xmpp\n" in describe(config)
    pages = (HostAddresses("a", "wss://a/ws", "https://a/b"), HostAddresses("b", None, None))
    assert " a: https://a/b wss://a/ws, b: no address\n" in describe(replace(config, host_meta=pages))
    assert " none: no host has mod_host_meta in its modules\n" in describe(replace(config, host_meta=()))
    assert "host-meta" not in describe(from_arguments("127.0.0.1:5288", ["a"], ["srv:a"]))


def test_the_address_of_the_console_is_shown(tmp_path: Path) -> None:
    handlers = '{ip, "::1"}, {request_handlers, [{["a"], wsgw_console}, {[], mod_websocket}]}'
    assert "\n  console                   http://[::1]:5288/a/\n" in describe(
        load_text(tmp_path, listener(handlers))
    )
    config = from_arguments("127.0.0.1:5288", ["a"], ["srv:a"], DemoPages("ws://127.0.0.1:5288/ws-xmpp"))
    assert "\n  console                   http://127.0.0.1:5288/\n" in describe(config)
    assert "console" not in describe(from_arguments("127.0.0.1:5288", ["a"], ["srv:a"]))


def test_the_table_has_a_row_for_every_option() -> None:
    rows = [line for line in options_table().splitlines() if line.startswith("| `")]
    listeners = [option.name for option in OPTIONS if option.scope is not Scope.TOP]
    tops = [option.name for option in OPTIONS if option.scope is Scope.TOP]
    admin = [option.name for option in ADMIN_OPTIONS]
    assert [row.split("`")[1] for row in rows] == [*listeners, *admin, *tops]
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)


def test_a_listener_without_a_websocket_is_shown_without_a_url(tmp_path: Path) -> None:
    shown = describe(load_text(tmp_path, listener('{acme_challenge_dir, "acme"}', "{5289, wsgw_admin, []}")))
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    for line in (
        "URL for clients none: no request_handlers with mod_websocket",
        f"acme_challenge_dir {tmp_path}/acme",
        "request_handlers [] (default)",
        "upstream none (default)",
    ):
        assert line in lines


GIVEN = """\
{hosts, ["example.org", "other.example"]}.
{listen, [
  {5222, ejabberd_c2s, [{max_stanza_size, 65536}]},
  {5288, websocket_session, [{request_handlers, [{"ws", mod_websocket}]}, {tls, false}, {pong_timeout, 20}]},
  {{5289, "127.0.0.1"}, websocket_session, [{request_handlers, [{"ws", mod_websocket}]}]}
]}.
{websocket_timeout, 300}.
{log_level, info}.
"""


def shown(tmp_path: Path) -> tuple[list[str], list[str], list[str]]:
    """The text about the whole gateway and about each listener; runs of blanks become one."""
    parts = describe(load_text(tmp_path, GIVEN)).split("\n\n")
    return tuple([" ".join(line.split()) for line in part.splitlines()] for part in parts)  # type: ignore[return-value]


def test_a_setting_that_was_not_given_is_shown_as_a_default(tmp_path: Path) -> None:
    """A setting given with the value of the default is not; a computed default is."""
    gateway, first, second = shown(tmp_path)
    for line in ("hosts example.org, other.example", "log_level info"):
        assert line in gateway
    for line in ("trusted_proxies [] (default)", "log_format plain (default)", "trace none (default)"):
        assert line in gateway
    assert any(line.startswith("workers ") and line.endswith(" (default)") for line in gateway)
    for line in ("tls false", "pong_timeout 20", "websocket_timeout 300", "ip 0.0.0.0 (default)"):
        assert line in first
    for line in ("tls false (default)", "pong_timeout 20 (default)", "ip 127.0.0.1", "websocket_timeout 300"):
        assert line in second
    for line in ("upstream tcp://127.0.0.1:5222", "max_stanza_size 65536"):
        assert line in first, "taken from the listener of the XMPP server"
    assert any(line.startswith("max_sessions ") and line.endswith(" (default)") for line in first)


def test_the_url_for_clients_is_shown(tmp_path: Path) -> None:
    _, first, second = shown(tmp_path)
    assert first[1] == "URL for clients ws://example.org:5288/ws"
    assert second[1].startswith(
        "URL for clients ws://127.0.0.1:5289/ws (through a proxy with TLS: wss://example.org/ws"
    )


def test_the_url_for_clients_is_encoded(tmp_path: Path) -> None:
    """As in host-meta: a client can copy it."""
    text = GIVEN.replace('"ws"', '"w s/?#%\u20ac"')
    found = describe(load_text(tmp_path, text)).splitlines()
    urls = [line.split()[3] for line in found if "URL for clients" in line]
    places = ("example.org:5288", "127.0.0.1:5289")
    assert urls == [f"ws://{place}/w%20s/%3F%23%25%E2%82%AC" for place in places]


def test_the_url_for_clients_with_tls_is_shown(tmp_path: Path) -> None:
    pem = tmp_path / "both.pem"
    pem.write_text(CERTIFICATE + KEY)
    options = f'tls, {{certfile, "{pem}"}}, {{request_handlers, [{{["a", "b"], mod_websocket}}]}}'
    for ip in ('{ip, "::1"}', "inet6"):
        lines = describe(load_text(tmp_path, listener(f"{options}, {ip}"))).splitlines()
        assert any(line.split()[-1:] == ["wss://example.org:5288/a/b"] for line in lines)
