"""The source of a configuration: a file or arguments, and options that override a file's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config.snippets import write
from wsgw.config.source import Source
from wsgw.errors import ConfigError

CONFIG = """\
{hosts, ["localhost"]}.
{log_level, debug}.
{listen, [{5222, ejabberd_c2s, []}, {5288, websocket_session, []}]}.
"""
ARGUMENTS = Source(listen="127.0.0.1:5288", domains=["localhost"], upstreams=["tcp://127.0.0.1:5222"])


def test_a_file_is_read_again_each_time(tmp_path: Path) -> None:
    path = write(tmp_path / "wsgw.cfg", CONFIG)
    source = Source(file=str(path))
    assert source.read().log_level == "debug"
    write(path, CONFIG.replace("debug", "error"))
    assert source.read().log_level == "error"


def test_the_command_line_overrides_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "wsgw.cfg", CONFIG)
    config = Source(file=str(path), overrides={"log_level": "warning"}).read()
    assert config.log_level == "warning"
    assert config.origins.options["log_level"].file == "--log-level"
    assert config.source == str(path)


def test_arguments_alone_are_a_configuration() -> None:
    config = ARGUMENTS.read()
    assert (config.source, config.hosts) == ("", ("localhost",))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (Source(file="a.cfg", listen="5288"), "--config cannot be combined with --listen"),
        (Source(listen="5288", domains=["localhost"]), "must be given together"),
    ],
)
def test_arguments_that_contradict_each_other_are_an_error(source: Source, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        source.read()
