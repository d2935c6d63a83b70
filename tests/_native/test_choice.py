"""The extension is used if it fits the present sources and is not forbidden; otherwise a line says why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests._native.test_build import build, needs_compiler
from wsgw._native import choice
from wsgw._native.build import FILE_NAME
from wsgw._native.sources import RECORD, sources_hash


def chosen(tree: Path, **environment: str) -> str:
    """The choice of a process in ``tree``."""
    variables = {**os.environ, "WSGW_NATIVE": "", **environment}
    command = [sys.executable, "-m", "wsgw._native.choice"]
    return subprocess.check_output(command, cwd=tree, env=variables, text=True).strip()


@needs_compiler
def test_the_built_extension_is_used_unless_the_environment_forbids_it(tree: Path) -> None:
    assert chosen(tree) == "pure Python (not built; scripts/build.sh builds it)"
    build(tree)
    assert chosen(tree) == "native functions"
    assert chosen(tree, WSGW_NATIVE="0") == "pure Python (WSGW_NATIVE=0)"


def test_without_a_compiler_the_reason_names_it(tree: Path, tmp_path: Path) -> None:
    assert chosen(tree, PATH=str(tmp_path)).startswith("pure Python (not built; missing: a C compiler")


@needs_compiler
def test_an_extension_of_other_sources_is_not_used(tree: Path) -> None:
    build(tree)
    with (tree / "wsgw/_native/core.c").open("a") as source:
        source.write("\n")
    reason = "the extension was built from other sources; scripts/build.sh builds it"
    assert chosen(tree) == f"pure Python ({reason})"
    build(tree)
    assert chosen(tree) == "native functions"


@needs_compiler
def test_an_installed_extension_must_fit_the_recorded_hash(tree: Path) -> None:
    build(tree)
    folder = tree / "wsgw/_native"
    (folder / RECORD).write_text(sources_hash(folder))
    for source in folder.glob("*.[ch]"):
        source.unlink()
    assert chosen(tree) == "native functions"
    (folder / RECORD).write_text("another")
    reason = "the extension was built from other sources; install wsgw again"
    assert chosen(tree) == f"pure Python ({reason})"


def test_a_damaged_extension_is_not_used(tree: Path) -> None:
    (tree / "wsgw/_native" / FILE_NAME).write_bytes(b"not a library")
    assert chosen(tree).startswith("pure Python (the extension cannot be loaded: ")


def test_it_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_choice", choice.choice())
    choice.turn_off("a reason")
    assert choice.core() is None
    assert str(choice.choice()) == "pure Python (a reason)"
