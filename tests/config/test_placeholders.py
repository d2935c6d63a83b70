"""Templates that were not filled in: one clear error for each placeholder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.config.snippets import load_text, mistakes
from wsgw.config.placeholder_syntax import fill, in_text

PLACEHOLDERS = [
    "@@DOMAIN@@",
    "@DOMAIN@",
    "@HOST@",
    "__DOMAIN__",
    "%DOMAIN%",
    "<DOMAIN>",
    "<your-domain>",
    "${DOMAIN}",
    "${DOMAIN:-localhost}",
    "$DOMAIN",
    "$(DOMAIN)",
    "{{ domain }}",
    "{{domain}}",
    "{{{domain}}}",
    "{{ xmpp.domain }}",
    "{{ .Values.domain }}",
    "{{ domain | default('a') }}",
    "{{ env['DOMAIN'] or 4 }}",
    "<%= @domain %>",
    "%(domain)s",
]
#: Placeholders that without quotes are no YAML, or no Erlang term.
BARE = [one for one in PLACEHOLDERS if one not in ("$(DOMAIN)",)]


def _erlang(host: str) -> str:
    return (
        f"{{loglevel, 4}}.\n{{hosts, [{host}]}}.\n"
        "{listen, [{5222, ejabberd_c2s, []}, {5288, websocket_session, [{max_depth, deep}]}]}.\n"
    )


def _yaml(host: str) -> str:
    return (
        f"loglevel: 4\nhosts: [{host}]\n"
        "listen: [{port: 5222, module: ejabberd_c2s}, {port: 5288, module: websocket_session}]\n"
    )


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_a_placeholder_in_a_string_is_one_error(tmp_path: Path, placeholder: str) -> None:
    expected = f"2: the placeholder {placeholder} is not filled in"
    first, second = mistakes(tmp_path, _erlang(f'"{placeholder}"'))
    assert (first, second.partition(":")[0]) == (expected, "3")
    assert mistakes(tmp_path, _yaml(f'"{placeholder}"'), "ejabberd.yml") == [expected]


@pytest.mark.parametrize("placeholder", BARE)
def test_a_bare_placeholder_is_one_error_and_hides_no_other(tmp_path: Path, placeholder: str) -> None:
    if placeholder == "%DOMAIN%":  # a comment of Erlang's
        return
    first, second = mistakes(tmp_path, _erlang(placeholder))
    assert _plain(first) == _plain(f"2: the placeholder {placeholder} is not filled in")
    assert second.startswith("3: max_depth: expected a whole number")


@pytest.mark.parametrize("placeholder", PLACEHOLDERS)
def test_a_bare_placeholder_of_yaml_is_one_error(tmp_path: Path, placeholder: str) -> None:
    block = _yaml("x").replace("[x]", f"\n  - {placeholder}", 1)
    (found,) = mistakes(tmp_path, block, "ejabberd.yml")
    assert _plain(found) == _plain(f"3: the placeholder {placeholder} is not filled in")


def _plain(message: str) -> str:
    """Without the placeholders that both formats read as nested terms or maps."""
    return re.sub(r"[ {}]", "", message)


JINJA = """\
loglevel: {{ env['EJABBERD_LOGLEVEL'] or 4 }}
hosts:
{%- for domain in env['XMPP_DOMAIN'].split() %}
  - "{{ domain }}"
{%- endfor %}
listen:
  - {port: 5222, module: ejabberd_c2s}
  -
    port: 5288
    module: websocket_session
    max_sesions: 5
    {% if env['TLS'] == "true" %}
    tls: true
    {% endif %}
sql_password: "a${b}c"
"""


def test_a_jinja_template_is_an_error(tmp_path: Path) -> None:
    placeholders = [
        "1: the placeholder {{ env['EJABBERD_LOGLEVEL'] or 4 }} is not filled in",
        "3: the placeholder {%- for domain in env['XMPP_DOMAIN'].split() %} is not filled in",
        "4: the placeholder {{ domain }} is not filled in",
        "5: the placeholder {%- endfor %} is not filled in",
        "11: unknown option max_sesions; did you mean max_sessions?",
        """12: the placeholder {% if env['TLS'] == "true" %} is not filled in""",
        "14: the placeholder {% endif %} is not filled in",
    ]
    found = mistakes(tmp_path, JINJA, "ejabberd.yml")
    assert [one for one in found if "placeholder" in one or "unknown" in one] == placeholders


@pytest.mark.parametrize(
    ("option", "placeholder"),
    [
        ('ip: "@@IP@@"', "@@IP@@"),
        ('certfile: "/etc/ssl/${DOMAIN}.pem"', "${DOMAIN}"),
        ('upstream: "tcp://{{ host }}:5222"', "{{ host }}"),
        ('websocket_origin: ["https://@DOMAIN@"]', "@DOMAIN@"),
        ('request_handlers: {"/@@PATH@@": mod_websocket}', "@@PATH@@"),
        ('max_sessions: "${MAX}"', "${MAX}"),
        ('see_other_uri: "wss://@HOST@:@@PORT@@/ws"', "@@PORT@@"),
    ],
)
def test_a_placeholder_in_a_listener_is_an_error(tmp_path: Path, option: str, placeholder: str) -> None:
    text = f"hosts: [a]\nlisten:\n  -\n    module: websocket_session\n    port: 5288\n    {option}\n"
    if not option.startswith("upstream"):
        text += "    upstream: tcp://[::1]\n"
    assert mistakes(tmp_path, text, "wsgw.yml") == [f"6: the placeholder {placeholder} is not filled in"]


@pytest.mark.parametrize(
    "text",
    [
        "{port: 5288, module: websocket_session}\n  - {module: ejabberd_c2s, port: '@@PORT@@'}\n",
        "{port: 5222, module: ejabberd_c2s}\n  - {port: 1, module: '@@MODULE@@'}\n",
    ],
)
def test_a_placeholder_in_a_used_option_of_ejabberds_listeners_is_an_error(tmp_path: Path, text: str) -> None:
    text = f"hosts: [a]\nlisten:\n  - {text}"
    (found,) = mistakes(tmp_path, text, "ejabberd.yml")
    assert found.startswith("4: the placeholder @@")


def test_ejabberds_own_settings_may_look_like_placeholders(tmp_path: Path) -> None:
    text = _erlang('"a"').replace("deep", "5") + (
        '{odbc_password, "pa@@X@@ss"}. {welcome, "Hello {{ name }}, ${you}"}.\n'
        '{modules, [{mod_muc, [{host, "conference.@HOST@"}]}]}. %% {{ x }} @@Y@@ {% if %}\n'
    )
    assert load_text(tmp_path, text).hosts == ("a",)
    yaml = (
        _yaml("a") + 'sql_password: "pa@@X@@ss"\nmodules: {mod_muc: {host: "conference.@HOST@"}} # {{ x }}\n'
    )
    yaml += 'certfiles: ["/etc/certs/@HOST@/*.pem", "@HOME@/x.pem"]\n'
    assert load_text(tmp_path, yaml, "ejabberd.yml").hosts == ("a",)


def test_see_other_uri_may_have_the_placeholder_of_other_servers(tmp_path: Path) -> None:
    text = _erlang('"a"').replace("{max_depth, deep}", '{see_other_uri, "wss://@HOST@:5288/ws-xmpp"}')
    assert load_text(tmp_path, text).listeners[0].see_other_uri == "wss://@HOST@:5288/ws-xmpp"


@pytest.mark.parametrize("yaml", [True, False])
@given(text=st.text(alphabet=" \n\"'%#{}<>@$_aA1[],.:-\\|="))
def test_a_replaced_placeholder_keeps_the_lines(yaml: bool, text: str) -> None:
    filled, found = fill(text, yaml)
    assert filled.count("\n") == text.count("\n")
    assert (filled == text) == (not found)
    list(in_text(text))


# Keywords and macros in strings, of ejabberd 25.03 and newer


def test_keywords_and_macros_in_strings_are_replaced(tmp_path: Path) -> None:
    text = """\
define_keyword:
  DOMAIN: example.org
  C2S_PORT: 5299
define_macro:
  DEPTH: 50
  PATH: "ws"
hosts: ["@DOMAIN@", "chat.@DOMAIN@"]
listen:
  - {port: "@C2S_PORT@", module: ejabberd_c2s}
  -
    port: 5288
    module: websocket_session
    max_depth: "@DEPTH@"
    request_handlers: {"/@PATH@/@C2S_PORT@": mod_websocket}
    websocket_origin: ["https://@DOMAIN@"]
"""
    config = load_text(tmp_path, text, "ejabberd.yml")
    (listener,) = config.listeners
    assert config.hosts == ("example.org", "chat.example.org")
    assert (listener.max_depth, listener.request_handlers[0].path) == (50, ("ws", "5299"))
    assert (str(listener.upstream[0]), listener.websocket_origin) == (
        "tcp://127.0.0.1:5299",
        ("https://example.org",),
    )


# Missing includes


@pytest.mark.parametrize(
    "rest",
    [
        "hosts: [a]\nlisten: [{port: 5288, module: websocket_session, upstream: 'tcp://[::1]'}]\n",
        "hosts: [a]\n",
        "",
        "hosts: DOMAINS\nlisten: [{port: C2S_PORT, module: ejabberd_c2s}]\n",
        "hosts: ['a']\nlisten:\n  - {port: WS, module: websocket_session, shaper: fast, upstream: 'srv:a'}\n",
        "hosts: [a]\nlisten: [{port: 5288, module: websocket_session}]\nhost_config: {b: {modules: OURS}}\n",
    ],
)
@pytest.mark.parametrize("name", ["ejabberd.yml", "wsgw.yml"])
def test_a_missing_include_is_one_error(tmp_path: Path, rest: str, name: str) -> None:
    text = f"include_config_file: /etc/ejabberd/no-such.yml\n{rest}"
    assert mistakes(tmp_path, text, name) == [
        "1: the included file /etc/ejabberd/no-such.yml does not exist",
    ]


def test_an_include_with_a_placeholder_is_one_error(tmp_path: Path) -> None:
    text = '{include_config_file, "@@CONF@@/local.cfg"}.\n{hosts, ["a"]}.\n'
    assert mistakes(tmp_path, text) == ["1: the placeholder @@CONF@@ is not filled in"]
