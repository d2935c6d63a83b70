from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.config.snippets import C2S, HOSTS, listener, load_text, mistakes
from tests.support.certificates import Certificate
from wsgw.errors import ConfigError

OURS = "{5288, websocket_session, []}"


def _file(listeners: str, more: str = "") -> str:
    return f"{HOSTS}\n{{listen, [{listeners}]}}.\n{more}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HOSTS, "0: no websocket_session listener: add {5288, websocket_session, [...]} to listen"),
        (_file(C2S), "2: no websocket_session listener: add {5288, websocket_session, [...]} to listen"),
        (
            _file(C2S + ",\n{5288, websocket_sesion, []}"),
            "3: no websocket_session listener: add {5288, websocket_session, [...]} to listen "
            "(is websocket_sesion meant to be one?)",
        ),
        (
            _file(OURS),
            "2: no XMPP server to connect to: the file has no usable ejabberd_c2s listener; "
            'add {upstream, "tcp://127.0.0.1:5222"} to this one',
        ),
        (
            _file('{5288, websocket_session, [{upstream, "h"}]}'),
            "2: upstream: upstream h: expected tcp://HOST:PORT, ",
        ),
        (_file(f"{C2S}, {OURS},\n{OURS}"), "3: port 5288 already has a listener, in line 2"),
        (
            _file(f"{C2S}, {{0.5, websocket_session, []}}"),
            "2: port: expected a whole number, 0 to 65535, found 0.5",
        ),
        (
            _file(f"{C2S}, {{{{5288, udp}}, websocket_session, []}}"),
            "2: websocket_session listens on tcp, not udp",
        ),
        (
            _file(f"{C2S}, {{{{5288, nowhere}}, websocket_session, []}}"),
            "2: ip: expected an IP address, found nowhere",
        ),
        (
            _file(f'{C2S}, {{{{5288, "::1"}}, websocket_session, [{{ip, "::1"}}]}}'),
            "2: ip is given twice: here and with the port",
        ),
        (
            _file(f"{C2S}, {OURS}", "{trusted_proxies, [any]}."),
            "3: trusted_proxies: expected an IP address, found any",
        ),
        (
            _file(f"{C2S}, {OURS}", '{trusted_proxies, ["10.0.0.1"]}.\n{trusted_proxies, all}.'),
            "4: trusted_proxies is all here, and a list at another place: give only one",
        ),
    ],
)
def test_a_bad_file_is_an_error(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = mistakes(tmp_path, text)
    assert found.startswith(problem)


def test_a_yaml_listener_without_a_port_is_an_error(tmp_path: Path) -> None:
    text = "hosts: [a]\nlisten:\n  - module: websocket_session\n    upstream: srv:a\n"
    assert mistakes(tmp_path, text, "f.yml") == ["3: the listener has no port"]


def test_the_advice_for_a_yaml_file_without_the_listener_is_yaml(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, "hosts: [a]", "f.yml")
    assert "- {port: 5288, module: websocket_session, ...}" in found


@pytest.mark.parametrize(
    ("port", "options", "place"),
    [
        ("5288", "", "0.0.0.0"),
        ("5288", "inet6", "::"),
        ("5288", "{inet6, true}, {ip, {0,0,0,0,0,0,0,1}}", "::1"),
        ("5288", '{ip, "::"}', "::"),
        ("{5288, {127,0,0,1}}", "", "127.0.0.1"),
        ('{5288, "::1", tcp}', "", "::1"),
    ],
)
def test_a_listener_has_its_address(tmp_path: Path, port: str, options: str, place: str) -> None:
    text = _file(f"{C2S}, {{{port}, websocket_session, [{options}]}}")
    (found,) = load_text(tmp_path, text).listeners
    assert (found.ip, found.port) == (place, 5288)


def test_several_listeners_are_read(tmp_path: Path) -> None:
    text = _file(f"{C2S}, {OURS}, {{5289, websocket_session, [{{drain_timeout, 5}}]}}")
    config = load_text(tmp_path, text)
    assert [one.port for one in config.listeners] == [5288, 5289]
    assert config.drain_timeout == 5.0


@pytest.mark.parametrize(
    ("listener", "place"),
    [
        ("{5289, wsgw_admin, []}", ("127.0.0.1", 5289)),
        ("{5289, wsgw_admin, [{ip, {127,0,0,1}}]}", ("127.0.0.1", 5289)),
        ('{{5289, "::1"}, wsgw_admin, []}', ("::1", 5289)),
    ],
)
def test_an_admin_listener_is_read(tmp_path: Path, listener: str, place: tuple[str, int]) -> None:
    config = load_text(tmp_path, _file(f"{C2S}, {OURS}, {listener}"))
    assert [(one.ip, one.port) for one in config.admin_listeners] == [place]
    assert len(config.listeners) == 1
    assert not any("wsgw_admin" in warning for warning in config.warnings)


def test_an_admin_listener_open_to_all_is_a_warning(tmp_path: Path) -> None:
    config = load_text(tmp_path, _file(f"{C2S}, {OURS}, {{5289, wsgw_admin, [{{ip, {{0,0,0,0}}}}]}}"))
    assert any("wsgw_admin listener on port 5289 is open to other machines" in one for one in config.warnings)


@pytest.mark.parametrize(
    ("listener", "reason"),
    [
        (
            "{5289, wsgw_admin, [{tls, true}]}",
            "wsgw_admin has no option tls; the options are ip, serve, token",
        ),
        ("{5289, wsgw_admin, [{tokn, true}]}", "wsgw_admin has no option tokn; did you mean token?"),
        ("{5289, wsgw_admin, [ip]}", "ip: "),
        ("{5289, wsgw_admin, [{serve, some}]}", "serve: expected all or probes, found some"),
        ("{5289, wsgw_admin, [{serve, all}, {serve, probes}]}", "serve is given twice"),
        ('{{5289, "::1"}, wsgw_admin, [{ip, "::1"}]}', "ip is given twice"),
        ("{5289, wsgw_admin, [{ip, none}]}", "ip: "),
        ("{{5289, udp}, wsgw_admin, []}", "wsgw_admin listens on tcp, not udp"),
        ("{5288, wsgw_admin, [{ip, {0,0,0,0}}]}", "port 5288 already has a listener"),
    ],
)
def test_a_bad_admin_listener_is_an_error(tmp_path: Path, listener: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)):
        load_text(tmp_path, _file(f"{C2S}, {OURS}, {listener}"))


@pytest.mark.parametrize(
    ("text", "everyone", "networks"),
    [
        ("", False, []),
        ("{trusted_proxies, all}.", True, []),
        ("{trusted_proxies, []}.", False, []),
        (
            '{trusted_proxies, ["10.0.0.1"]}. {trusted_proxies, ["10.0.0.1", "::1"]}.',
            False,
            ["10.0.0.1", "::1"],
        ),
    ],
)
def test_trusted_proxies_are_networks_or_all(
    tmp_path: Path, text: str, everyone: bool, networks: list[str]
) -> None:
    config = load_text(tmp_path, listener("") + text)
    assert config.trust_all_proxies is everyone
    assert config.trusted_proxies == tuple(map(ip_network, networks))


def test_a_named_upstream_takes_no_settings_of_the_c2s_listener(tmp_path: Path) -> None:
    c2s = "{5222, ejabberd_c2s, [{use_proxy_protocol, true}]}"
    (by_default,) = load_text(tmp_path, listener("", c2s)).listeners
    (named,) = load_text(tmp_path, listener('{upstream, "tcp://[::1]"}', c2s)).listeners
    (told,) = load_text(tmp_path, listener("{upstream_proxy_protocol, v1}", c2s)).listeners
    assert [one.upstream_proxy_protocol for one in (by_default, named, told)] == ["v2", "off", "v1"]


def test_a_shaper_is_found_by_its_name(tmp_path: Path) -> None:
    text = listener("{shaper, fast}") + "{shaper, fast, {maxrate, 50000}}. {shaper, 5}. {shaper, a, b, c}."
    assert load_text(tmp_path, text).listeners[0].shaper == 50000


@pytest.mark.parametrize(
    "options",
    [
        '{acme_challenge_dir, "acme"}',
        '{request_handlers, [{"/console", wsgw_console}]}',
        '{request_handlers, [{"/.well-known", mod_host_meta}]}',
        '{acme_challenge_dir, "acme"}, {upstream, "tcp://192.0.2.1"}',
        '{acme_challenge_dir, "acme"}, {request_handlers, [{"/admin", mod_http_api}]}',
    ],
)
def test_a_listener_without_a_websocket_needs_no_server(tmp_path: Path, options: str) -> None:
    (found,) = load_text(tmp_path, listener(options, "{5289, wsgw_admin, []}")).listeners
    assert (found.has_websocket, found.upstream) == (False, ())


def test_the_directory_of_the_top_level_is_for_all_listeners_without_tls(
    tmp_path: Path, certificate: Certificate
) -> None:
    tls = f'{{5443, websocket_session, [tls, {{certfile, "{certificate.pem}"}}]}}'
    own = '{5290, websocket_session, [{acme_challenge_dir, "/own"}]}'
    text = _file(f"{C2S}, {OURS}, {tls}, {own}", '{acme_challenge_dir, "all"}.')
    found = [one.acme_challenge_dir for one in load_text(tmp_path, text).listeners]
    assert found == [tmp_path / "all", None, Path("/own")]
