from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.config.snippets import unprivileged, write
from wsgw.config import files
from wsgw.config.files import find_config, read_bytes
from wsgw.errors import ConfigError


def test_the_file_named_comes_before_the_environment() -> None:
    assert find_config("a.cfg", {"WSGW_CONFIG": "b.cfg"}) == Path("a.cfg")
    assert find_config(None, {"WSGW_CONFIG": "b.cfg"}) == Path("b.cfg")


def test_the_places_are_searched_in_their_order() -> None:
    assert [str(path) for path in files.SEARCHED] == [
        "/etc/wsgw/wsgw.yml",
        "/etc/wsgw/ejabberd.cfg",
        "/etc/ejabberd/ejabberd.cfg",
        "/etc/ejabberd/ejabberd.yml",
    ]


def test_the_first_file_that_exists_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = tuple(tmp_path / name for name in ("one", "two", "three"))
    monkeypatch.setattr(files, "SEARCHED", places)
    with pytest.raises(ConfigError) as caught:
        find_config(None, {"WSGW_CONFIG": ""})
    assert all(str(place) in str(caught.value) for place in places)
    write(places[1], "")
    write(places[2], "")
    assert find_config(None, {}) == places[1]


def test_a_directory_that_may_not_be_searched_is_an_error(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = open_directory / "ejabberd"
    closed.mkdir(mode=0o000)
    monkeypatch.setattr(files, "SEARCHED", (closed / "ejabberd.yml",))
    reason = f"directory {closed} belongs to {closed.owner()}:{closed.group()}, mode 0000"
    with unprivileged(), pytest.raises(ConfigError, match=re.escape(reason)):
        find_config(None, {})
    with unprivileged(), pytest.raises(ValueError, match=re.escape(reason)):
        read_bytes(closed / "ejabberd.yml")
    closed.chmod(0o755)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        read_bytes(tmp_path / "none")
    with pytest.raises(ValueError, match="does not exist"):
        read_bytes(write(tmp_path / "file", "") / "below")
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        read_bytes(tmp_path)
    with pytest.raises(ValueError, match="is longer than"):
        read_bytes(Path("/dev/zero"))
    with pytest.raises(ValueError, match="cannot be read"):
        read_bytes(Path("a\0b"))
