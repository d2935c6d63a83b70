"""The lines of settings, for messages after the file was read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.config.snippets import CERTIFICATE, load_text, write
from wsgw.config import from_arguments
from wsgw.config.model import Origins

TEXT = """\
{hosts, ["example.org"]}.
{listen, [
  {5222, ejabberd_c2s, [
    {certfile, "server.pem"}]},
  {{5288, "127.0.0.1"}, websocket_session, [
    {pong_timeout, 5}
  ]},
  {5289, wsgw_admin, []}
]}.
{websocket_timeout, 300}.
{certfiles, [
  "all.pem"]}.
"""


def test_a_setting_knows_its_line(tmp_path: Path) -> None:
    for name in ("server.pem", "all.pem"):
        write(tmp_path / name, CERTIFICATE)
    config = load_text(tmp_path, TEXT)
    (ours,) = config.listeners
    for names, line in (
        ((), 5),
        (("ip",), 5),
        (("pong_timeout",), 6),
        (("tls", "pong_timeout"), 6),
        (("tls",), 5),
        (("upstream",), 3),
        (("websocket_timeout",), 10),
    ):
        assert config.mark(ours, *names).line == line, names
    assert config.mark(config.admin_listeners[0]).line == 8
    lines = {path.name: mark.line for path, mark in config.origins.files.items()}
    assert lines == {"server.pem": 4, "all.pem": 12}
    assert config.origins.options["certfiles"].line == 11


def test_lines_are_no_settings(tmp_path: Path) -> None:
    """A file whose lines have only moved has the same settings."""
    assert load_text(tmp_path, TEXT) == load_text(tmp_path, TEXT.replace("{certfiles", "\n{certfiles"))


def test_without_a_file_the_place_is_the_command_line() -> None:
    config = from_arguments("5288", ["a"], ["tcp://b"])
    assert str(config.mark(config.listeners[0], "upstream").file) == "--upstream"
    bare = replace(config, origins=Origins())
    assert bare.mark(bare.listeners[0], "upstream") == bare.nowhere
