"""The option table agrees with the model, the example file and the documentation."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from tests.config.snippets import CERTIFICATE, KEY, load_text, mistakes, write
from wsgw.config import load, options_table
from wsgw.config.model import Config, ListenerConfig
from wsgw.config.option import Computed, Scope
from wsgw.config.options import BY_NAME, GATEWAY_WIDE, LISTENER_NAMES, OPTIONS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "ejabberd.cfg.example"
#: Fields of the model that no option of the same name sets.
_DERIVED = {"port", "certfiles", "upstream_certfiles", "max_connect_burst_per_ip"}


def test_every_field_of_a_listener_has_its_option() -> None:
    names = {field.name for field in fields(ListenerConfig)}
    assert names - _DERIVED == set(LISTENER_NAMES) - {"inet6", *GATEWAY_WIDE}


def test_every_option_of_the_top_level_is_in_the_model() -> None:
    names = {field.name for field in fields(Config)}
    assert {option.name for option in OPTIONS if option.scope is Scope.TOP} <= names
    assert names.issuperset(GATEWAY_WIDE)


def test_every_row_has_all_its_fields() -> None:
    assert len(BY_NAME) == len(OPTIONS)
    for option in OPTIONS:
        assert option.meaning.endswith("."), option.name
        assert option.type.label, option.name
        assert option.precedent, option.name


def test_the_documentation_is_the_output_of_the_command() -> None:
    assert (ROOT / "docs" / "options.md").read_text() == f"{options_table()}\n"


def test_the_example_names_every_option() -> None:
    text = EXAMPLE.read_text()
    assert [option.name for option in OPTIONS if f"{{{option.name}," not in text] == []


def test_the_example_is_valid_and_shows_the_defaults() -> None:
    config = load(EXAMPLE)
    (listener,) = config.listeners
    assert (config.hosts, config.warnings) == (("localhost",), ())
    for name in re.findall(r"^ +\{(\w+), ", EXAMPLE.read_text(), re.MULTILINE):
        if name not in BY_NAME or name in ("inet6", *GATEWAY_WIDE, "max_stanza_size", "request_handlers"):
            continue
        default = BY_NAME[name].default
        if name == "max_connect_rate_per_ip":
            assert (listener.max_connect_rate_per_ip, listener.max_connect_burst_per_ip) == default
        else:
            shown = getattr(listener, name)
            assert shown == ("off" if name == "upstream_proxy_protocol" else default), name
    for name in ("drain_timeout", "upgrade_timeout", "log_level"):
        assert getattr(config, name) == BY_NAME[name].default


def test_every_option_with_a_fixed_default_is_active_in_the_example() -> None:
    active = re.findall(r"^ *\{(\w+), ", EXAMPLE.read_text(), re.MULTILINE)
    unset = [
        option.name
        for option in OPTIONS
        if not isinstance(option.default, Computed)
        and option.default is not None
        and option.name not in active
    ]
    assert unset == []


@pytest.mark.parametrize("line", re.findall(r"^ +%\{.*$", EXAMPLE.read_text(), re.MULTILINE))
def test_the_commented_options_of_the_example_are_valid(tmp_path: Path, line: str) -> None:
    pem = write(tmp_path / "both.pem", CERTIFICATE + KEY)
    text = EXAMPLE.read_text().replace(line, line.replace("%{", "{", 1))
    assert mistakes(tmp_path, re.sub(r"/path/to/\w+\.pem", str(pem), text)) == []


def test_the_defaults_of_the_table_are_those_of_a_bare_listener(tmp_path: Path) -> None:
    text = '{hosts, ["a"]}. {listen, [{1, websocket_session, [{upstream, "tcp://[::1]"}]}]}.'
    (listener,) = load_text(tmp_path, text).listeners
    for option in OPTIONS:
        name, default = option.name, option.default
        if (
            hasattr(listener, name)
            and name != "max_connect_rate_per_ip"
            and not isinstance(default, Computed)
        ):
            assert getattr(listener, name) == default, name
