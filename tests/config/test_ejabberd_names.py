"""Listeners of an ejabberd.cfg, with options that only ejabberd's HTTP listener has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.snippets import C2S, HOSTS, listener, load_text, mistakes
from wsgw.config.ejabberd_names import LISTENER_OPTIONS
from wsgw.config.model import RequestHandler
from wsgw.config.options import LISTENER_NAMES

WS = RequestHandler(("ws-xmpp",), "mod_websocket")
OURS = '{request_handlers, [{["ws-xmpp"], mod_websocket}]}'


@pytest.mark.parametrize("module", ["websocket_session", "ejabberd_websocket"])
@pytest.mark.parametrize("handler", ["mod_websocket", "ejabberd_websocket"])
@pytest.mark.parametrize("path", ['["ws-xmpp"]', '"/ws-xmpp"', '"ws-xmpp"', '<<"/ws-xmpp">>'])
def test_the_listener_and_its_handler_have_two_names_each(
    tmp_path: Path, module: str, handler: str, path: str
) -> None:
    options = f"[{{request_handlers, [{{{path}, {handler}}}]}}]"
    text = f"{HOSTS}\n{{listen, [{C2S}, {{5288, {module}, {options}}}]}}.\n{{modules, [{{{handler}, []}}]}}."
    config = load_text(tmp_path, text)
    assert [(one.port, one.request_handlers) for one in config.listeners] == [(5288, (WS,))]
    assert (config.hosts, config.warnings) == (("example.org",), ())


@pytest.mark.parametrize("module", ["websocket_session", "ejabberd_websocket"])
@pytest.mark.parametrize("handler", ["mod_websocket", "'ejabberd_websocket'", '"mod_websocket"'])
def test_both_names_are_read_in_yaml(tmp_path: Path, module: str, handler: str) -> None:
    text = f"""
hosts: [example.org]
listen:
  - {{port: 5222, module: ejabberd_c2s}}
  -
    port: 5288
    module: {module}
    request_handlers:
      "/ws-xmpp": {handler}
"""
    (found,) = load_text(tmp_path, text, "ejabberd.yml").listeners
    assert found.request_handlers == (WS,)


def test_no_option_is_both_wsgws_and_ejabberds() -> None:
    assert set(LISTENER_OPTIONS).isdisjoint(LISTENER_NAMES)


@pytest.mark.parametrize("name", sorted(LISTENER_OPTIONS))
def test_an_option_of_ejabberds_listeners_is_a_warning(tmp_path: Path, name: str) -> None:
    for written in (name, f"{{{name}, true}}", f'{{{name}, "x"}}'):
        (warning,) = load_text(tmp_path, listener(f"{OURS}, {written}")).warnings
        assert f"/ejabberd.cfg:1: The listener on port 5288 ignores {name}, which ejabberd knows" in warning
        assert warning.endswith(f": {LISTENER_OPTIONS[name]}.")


def test_options_with_the_same_advice_share_a_warning(tmp_path: Path) -> None:
    options = "captcha,\n http_bind,\n http_poll,\n web_admin, {access, c2s}"
    warnings = load_text(tmp_path, listener(f"{OURS}, {options}")).warnings
    path = tmp_path / "ejabberd.cfg"
    assert [warning.partition(", which")[0] for warning in warnings] == [
        f"{path}:1: The listener on port 5288 ignores captcha, http_bind, http_poll, web_admin",
        f"{path}:4: The listener on port 5288 ignores access",
    ]


@pytest.mark.parametrize(
    ("module", "advice"),
    [
        ("ejabberd_http_ws", "that is ejabberd's own WebSocket; for wsgw's write mod_websocket"),
        ("mod_http_bind", "leave it to an ejabberd_http listener on another port"),
        ("mod_bosh", "leave it to"),
        ("mod_http_upload", "leave it to"),
        ("mod_http_api", "leave it to"),
        ("mod_http_fileserver", "leave it to"),
        ("mod_conversejs", "leave it to"),
        ("ejabberd_web_admin", "leave it to"),
        ("ejabberd_captcha", "leave it to"),
        ("mod_register_web", "leave it to"),
        ("mod_of_somebody", "leave it to"),
    ],
)
def test_a_handler_of_ejabberds_is_a_warning(tmp_path: Path, module: str, advice: str) -> None:
    options = f'{{request_handlers, [{{["ws-xmpp"], mod_websocket}}, {{["a", "b"], {module}}}]}}'
    config = load_text(tmp_path, listener(options))
    (warning,) = config.warnings
    expected = f"The listener on port 5288 does not serve /a/b, whose handler is {module}: {advice}"
    assert warning.startswith(f"{tmp_path}/ejabberd.cfg:1: {expected}")
    assert config.listeners[0].request_handlers == (WS,)


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ("captcha, {max_sesions, 5}", "1: unknown option max_sesions; did you mean max_sessions?"),
        ("{transport, tcp}", "1: transport belongs before the options: {{Port, IP, tcp}, Module, [...]}"),
        ("web_admin, {tsl, true}", "1: unknown option tsl; did you mean tls?"),
        (
            '{request_handlers, [{["a"], mod_websockt}]}',
            "1: request_handlers: mod_websockt is not a request handler; "
            "known: mod_websocket, mod_host_meta, wsgw_console",
        ),
        (
            '{request_handlers, [{["a"], ejabberd_websockets}]}',
            "1: request_handlers: ejabberd_websockets is not a request handler; "
            "known: mod_websocket, mod_host_meta, wsgw_console",
        ),
    ],
)
def test_a_misspelled_name_is_an_error(tmp_path: Path, options: str, mistake: str) -> None:
    assert mistakes(tmp_path, listener(options)) == [mistake]


@pytest.mark.parametrize(
    "rule",
    [
        "{access, c2s_shaper, [{none, admin}, {normal, all}]}.",
        "{shaper_rules, [{c2s_shaper, [{none, admin}, {normal, all}]}]}.",
    ],
)
def test_a_shaper_that_is_a_rule_by_user_is_a_warning(tmp_path: Path, rule: str) -> None:
    text = listener(f"{OURS}, {{shaper, c2s_shaper}}") + rule
    config = load_text(tmp_path, text)
    (warning,) = config.warnings
    assert "/ejabberd.cfg:1: The listener on port 5288 ignores shaper, which ejabberd knows" in warning
    assert config.listeners[0].shaper is None


def test_a_shaper_that_is_not_defined_is_an_error(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, listener("{shaper, c2s_shaper}"))
    assert mistake.startswith("1: shaper: no shaper 'c2s_shaper' is defined")
