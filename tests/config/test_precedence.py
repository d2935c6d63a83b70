from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.snippets import C2S, HOSTS, listener, load_text, mistakes, write


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("{max_sesions, 5}", "unknown option max_sesions; did you mean max_sessions?"),
        ("{zzz, 5}", "unknown option zzz"),
        ("{hosts, []}", "hosts belongs at the top level of the file, not in a listener"),
        ("{backlog, 5}, {backlog, 5}", "backlog is already given in line 1"),
        ("tls_handshake_timeout", "tls_handshake_timeout needs a value: 0.1 to 86400 seconds"),
        ("{backlog, 1, 2}", "expected an option, {name, value}, found {backlog, 1, 2}"),
        ("5", "expected an option, {name, value}, found 5"),
        ("{backlog, many}", "backlog: expected a whole number, 1 to 65535, found many"),
        ("{tls, 'YES'}", "tls: expected true or false; no macro 'YES' is defined"),
    ],
)
def test_a_bad_option_of_a_listener_is_an_error(tmp_path: Path, options: str, problem: str) -> None:
    assert mistakes(tmp_path, listener(options)) == [f"1: {problem}"]


def test_other_listeners_and_options_are_not_checked(tmp_path: Path) -> None:
    others = C2S + ", {1, ejabberd_http, [{max_sesions, 5}, nonsense, {tls, 7}, {a}, 9]}"
    text = listener("", others) + "{modules, nonsense}. {auth_method, 'UNDEFINED'}. {acl, 5}. 7. [x]."
    assert mistakes(tmp_path, text) == []


def test_a_listeners_option_overrides_the_top_level_and_that_the_default(tmp_path: Path) -> None:
    text = listener("{websocket_timeout, 100}") + "{websocket_timeout, 200}. {websocket_ping_interval, 50}."
    (found,) = load_text(tmp_path, text).listeners
    assert (found.websocket_timeout, found.websocket_ping_interval, found.pong_timeout) == (100.0, 50.0, 20.0)


def test_other_options_are_not_read_at_the_top_level(tmp_path: Path) -> None:
    (found,) = load_text(tmp_path, listener("") + "{backlog, 7}.").listeners
    assert found.backlog == 1024


def test_a_top_level_option_given_twice_is_an_error(tmp_path: Path) -> None:
    text = listener("") + "\n{websocket_timeout, 100}.\n{websocket_timeout, 100}."
    assert mistakes(tmp_path, text) == ["3: websocket_timeout is already given in line 2"]


def test_a_bad_value_at_the_top_level_is_reported_once(tmp_path: Path) -> None:
    two = f"{HOSTS} {{listen, [{C2S}, {{1, websocket_session, []}}, {{2, websocket_session, []}}]}}."
    text = two + "\n{websocket_origin, 5}."
    assert mistakes(tmp_path, text) == [
        "2: websocket_origin: expected an origin, as in https://example.org, found 5"
    ]


def test_the_main_file_overrides_the_files_that_it_includes(tmp_path: Path) -> None:
    write(tmp_path / "theirs.cfg", "{websocket_timeout, 100}. {websocket_ping_interval, 50}.")
    text = '{include_config_file, "theirs.cfg"}. {websocket_timeout, 200}. ' + listener("")
    (found,) = load_text(tmp_path, text).listeners
    assert (found.websocket_timeout, found.websocket_ping_interval) == (200.0, 50.0)


@pytest.mark.parametrize(
    ("options", "line", "problem"),
    [
        ("max_sesions: 5", 1, "unknown option max_sesions; did you mean max_sessions?"),
        ("backlog: 5, backlog: 5", 1, "backlog is already given in line 1"),
        ("port: 5", 1, "port is given twice"),
        ("tls:", 1, "tls: expected true or false, found nothing"),
    ],
)
def test_an_error_in_yaml_has_its_line(tmp_path: Path, options: str, line: int, problem: str) -> None:
    text = f"listen: [{{port: 1, module: websocket_session, upstream: 'tcp://[::1]', {options}}}]\nhosts: [a]"
    assert mistakes(tmp_path, text, "f.yml") == [f"{line}: {problem}"]
