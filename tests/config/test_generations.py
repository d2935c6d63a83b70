"""Small configurations of every generation of ejabberd: with the websocket_session listener, or included."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.config.snippets import CERTIFICATE, FIXTURES, KEY, mistakes, write
from wsgw.config import load
from wsgw.config.model import Config

FOLDER = FIXTURES / "generations"
#: Those with a websocket_session listener, written for the old module.
DEBIAN = Path("/usr/share/doc/ejabberd/examples/ejabberd.yml")
OLD = ["2.1-stock.cfg", "2.1-macros.cfg", "2.1-includes.cfg", "13.yml", "16.yml"]
#: Those of an ejabberd that does not start with such a listener.
MODERN = ["18.yml", "20.yml", "23.yml", "25.yml"]
INCLUDING = """\
include_config_file:
  {name}:
    allow_only: [hosts, listen, certfiles, trusted_proxies]
listen:
  -
    port: 5288
    module: websocket_session
    request_handlers:
      /ws-xmpp: mod_websocket
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder like /etc/ejabberd, with a certificate."""
    copy = tmp_path / "ejabberd"
    shutil.copytree(FOLDER, copy)
    write(copy / "server.pem", CERTIFICATE + KEY)
    return copy


def _upstream(config: Config) -> str:
    (listener,) = config.listeners
    assert (listener.port, [str(one.module) for one in listener.request_handlers]) == (
        5288,
        ["mod_websocket"],
    )
    assert listener.request_handlers[0].path == ("ws-xmpp",)
    return str(listener.upstream[0])


@pytest.mark.parametrize(
    ("name", "hosts", "upstream", "ignored"),
    [
        ("2.1-stock.cfg", ("one.example", "two.example"), "tcp://127.0.0.1:5222", []),
        ("2.1-macros.cfg", ("one.example", "two.example"), "starttls://127.0.0.1:5222", ["captcha"]),
        ("2.1-includes.cfg", ("one.example",), "tcp://127.0.0.1:5222", []),
        ("13.yml", ("one.example", "two.example"), "tcp://127.0.0.1:5222", []),
        ("16.yml", ("one.example", "two.example"), "tcp://127.0.0.1:5222", []),
    ],
)
def test_a_file_with_the_listener_is_read(
    folder: Path, name: str, hosts: tuple[str, ...], upstream: str, ignored: list[str]
) -> None:
    config = load(folder / name)
    assert (config.hosts, _upstream(config)) == (hosts, upstream)
    assert [one for one in config.warnings if "ignores" not in one] == []
    assert len(config.warnings) == len(ignored)
    assert all(name in warning for name, warning in zip(ignored, config.warnings, strict=True))


@pytest.mark.parametrize("name", MODERN)
def test_a_file_of_a_modern_ejabberd_can_be_included(folder: Path, name: str) -> None:
    own = write(folder.parent / "wsgw.yml", INCLUDING.format(name=folder / name))
    config = load(own)
    assert (config.hosts, _upstream(config)) == (
        ("one.example", "two.example"),
        "starttls://127.0.0.1:5222",
    )
    assert config.warnings == ()


@pytest.mark.parametrize("name", MODERN)
def test_a_file_without_the_listener_is_one_error_with_the_action(folder: Path, name: str) -> None:
    text = (folder / name).read_text().replace("include_config_file: modules.yml", "")
    (found,) = mistakes(folder, text, "ejabberd.yml")
    assert "no websocket_session listener. This file is ejabberd's own" in found
    assert "/etc/wsgw/wsgw.yml" in found


@pytest.mark.parametrize("name", [*OLD, *MODERN])
def test_ejabberds_settings_in_a_file_included_whole_give_no_warning(folder: Path, name: str) -> None:
    listener = INCLUDING[INCLUDING.index("listen:") :].replace("5288", "5299")
    own = write(folder.parent / "wsgw.yml", f"include_config_file: {folder / name}\n{listener}")
    assert [one for one in load(own).warnings if "ignores" not in one] == []


@pytest.mark.skipif(not os.access(DEBIAN, os.R_OK), reason="no ejabberd of Debian here, or not for this user")
def test_debians_own_file_is_included_without_a_warning(folder: Path) -> None:
    theirs = write(
        folder / "ejabberd.yml", DEBIAN.read_text().replace("/etc/ejabberd/ejabberd.pem", "server.pem")
    )
    own = write(folder.parent / "wsgw.yml", INCLUDING.format(name=theirs))
    assert load(own).warnings == ()
