"""The hash of the sources follows their content and their names, or is the recorded one."""

from __future__ import annotations

from pathlib import Path

from wsgw._native.sources import RECORD, sources_hash


def test_the_hash_follows_content_and_names(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int a;\n")
    (tmp_path / "a.h").write_text("")
    hashes = [sources_hash(tmp_path)]
    (tmp_path / "a.h").write_text("extern int a;\n")
    hashes.append(sources_hash(tmp_path))
    (tmp_path / "a.h").rename(tmp_path / "b.h")
    hashes.append(sources_hash(tmp_path))
    assert len(set(hashes)) == 3
    (tmp_path / "notes.txt").write_text("not compiled")
    assert sources_hash(tmp_path) == hashes[-1]


def test_without_sources_it_is_the_recorded_one(tmp_path: Path) -> None:
    assert sources_hash(tmp_path) == ""
    (tmp_path / RECORD).write_text("abc\n")
    assert sources_hash(tmp_path) == "abc"
