"""The tables of markers name only existing fixtures and folders."""

from __future__ import annotations

import re

from tests.support.markers import OF_FIXTURES, OF_FOLDERS
from tests.support.processes import ROOT


def test_every_folder_of_the_table_exists() -> None:
    assert [folder for folder in OF_FOLDERS if not (ROOT / folder).is_dir()] == []


def test_every_fixture_of_the_table_exists() -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py")]
    defined = {name for text in texts for name in re.findall(r"@pytest\.fixture.*\ndef (\w+)", text)}
    assert OF_FIXTURES.keys() <= defined


def test_the_markers_of_the_table_are_left_out_of_a_quick_run() -> None:
    script = (ROOT / "scripts" / "test.sh").read_text("utf-8")
    (selection,) = re.findall(r'^quick_selection="not (.+)"$', script, re.MULTILINE)
    assert {*OF_FIXTURES.values(), *OF_FOLDERS.values()} <= {*selection.split(" and not ")}
