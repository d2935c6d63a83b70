"""The options of a ``wsgw_admin`` listener. The token is in no message and no output."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.config.snippets import C2S, HOSTS, load_text, mistakes
from wsgw.config.describe import changed, describe
from wsgw.config.model import AdminListener, Config
from wsgw.errors import ConfigError

SECRET = "Zm9vYmFyYmF6cXV4-._~+/=="


def load(tmp_path: Path, options: str) -> Config:
    listeners = f"{C2S}, {{5288, websocket_session, []}}, {{5289, wsgw_admin, [{options}]}}"
    return load_text(tmp_path, f"{HOSTS}\n{{listen, [{listeners}]}}.\n")


def test_the_defaults_and_all_options(tmp_path: Path) -> None:
    assert load(tmp_path, "").admin_listeners == (AdminListener("127.0.0.1", 5289),)
    given = f'{{ip, "::1"}}, {{serve, all}}, {{token, "{SECRET}"}}, {{allowed_hosts, ["Admin.Example"]}}'
    expected = AdminListener("::1", 5289, "all", SECRET, ("admin.example",))
    assert load(tmp_path, given).admin_listeners == (expected,)


def test_a_listener_in_yaml(tmp_path: Path) -> None:
    text = (
        "hosts: [example.org]\nlisten:\n"
        "  - {port: 5288, module: websocket_session, upstream: tcp://127.0.0.1}\n"
        f"  - {{port: 5289, module: wsgw_admin, serve: probes, token: '{SECRET}'}}\n"
    )
    config = load_text(tmp_path, text, "wsgw.yml")
    assert config.admin_listeners == (AdminListener("127.0.0.1", 5289, "probes", SECRET),)
    assert any("serves only probes: its token has no effect" in one for one in config.warnings)


def test_the_token_is_not_shown(tmp_path: Path) -> None:
    config = load(tmp_path, f'{{token, "{SECRET}"}}, {{ip, "0.0.0.0"}}')
    assert any("the token, JIDs and addresses of clients cross the network" in one for one in config.warnings)
    shown = [describe(config), repr(config.admin_listeners), str(changed(config)), *config.warnings]
    assert not any(SECRET in text for text in shown)
    assert re.search(r"  token +given\n", describe(config))
    assert re.search(r"  token +none  \(default\)\n", describe(load(tmp_path, "")))


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (f'"{SECRET[:15]}"', "found 15 characters"),
        (f'"{SECRET * 20}"', "found 480 characters"),
        (f'"{SECRET[:18]} {SECRET[:3]}"', "found another character"),
        ("1234567890123456", "token: expected a string of 16 to 256 letters"),
        (f'["{SECRET}"]', "token: expected a string of 16 to 256 letters"),
        ("true", "token: expected a string of 16 to 256 letters"),
    ],
)
def test_a_token_that_cannot_be_used_is_an_error_that_does_not_show_it(
    tmp_path: Path, token: str, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"{{token, {token}}}")
    (problem,) = caught.value.problems
    assert reason in problem.reason
    assert not any(part in str(problem) for part in (SECRET[:15], "1234567890"))


@pytest.mark.parametrize(
    "options",
    [
        f'["{SECRET}"]',
        f'[{{token, "{SECRET}", x}}]',
        f'[{{"{SECRET}", token}}]',
        f'[{{token "{SECRET}"}}]',
        f'[{{token, "{SECRET}}}]',
        "[{token, Zm9vYmFyYmF6cXV4Zm9v}]",
        f'[{{tokn, "{SECRET}"}}]',
    ],
)
def test_a_token_at_the_wrong_place_is_not_shown_either(tmp_path: Path, options: str) -> None:
    """Any user of the machine can read the errors of a reload on the status page."""
    listeners = f"{C2S}, {{5288, websocket_session, []}}, {{5289, wsgw_admin, {options}}}"
    found = mistakes(tmp_path, f"{HOSTS}\n{{listen, [{listeners}]}}.\n")
    assert found
    assert "Zm9v" not in str(found)


def test_a_token_may_be_a_macro_of_another_file(tmp_path: Path) -> None:
    (tmp_path / "secret.cfg").write_text(f"{{define_macro, 'TOKEN', \"{SECRET}\"}}.\n")
    listeners = f"{C2S}, {{5288, websocket_session, []}}, {{5289, wsgw_admin, [{{token, 'TOKEN'}}]}}"
    text = f'{{include_config_file, "secret.cfg"}}.\n{HOSTS}\n{{listen, [{listeners}]}}.\n'
    (listener,) = load_text(tmp_path, text).admin_listeners
    assert listener.token == SECRET
