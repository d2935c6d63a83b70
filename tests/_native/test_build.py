"""The extension is built where a compiler and headers are, and a missing one is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wsgw._native.build import BUILT, FAILED, FILE_NAME, UNABLE, missing

needs_compiler = pytest.mark.skipif(bool(missing()), reason=missing())


def build(tree: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wsgw._native.build"]
    variables = {**os.environ, **environment}
    return subprocess.run(command, cwd=tree, env=variables, capture_output=True, text=True, check=False)


@needs_compiler
def test_it_is_built_in_place_and_replaced_in_one_step(tree: Path) -> None:
    target = tree / "wsgw/_native" / FILE_NAME
    target.write_bytes(b"a previous build")
    with target.open("rb") as previous:
        done = build(tree)
        assert (done.returncode, done.stdout, done.stderr) == (BUILT, "native functions: built\n", "")
        assert previous.read() == b"a previous build"
    assert target.read_bytes()[:4] == b"\x7fELF"
    assert not list(target.parent.glob(".build-*"))


@needs_compiler
def test_only_the_initialisation_is_visible_to_other_code(tree: Path) -> None:
    build(tree)
    target = tree / "wsgw/_native" / FILE_NAME
    symbols = subprocess.check_output(["nm", "-D", "--defined-only", target], text=True)
    assert [line.split()[-1] for line in symbols.splitlines()] == ["PyInit__core"]


@needs_compiler
def test_errors_of_the_compiler_are_printed(tree: Path) -> None:
    (tree / "wsgw/_native/core.c").write_text("#error broken\n")
    done = build(tree)
    assert done.returncode == FAILED
    assert "#error broken" in done.stderr
    assert done.stdout.startswith("native functions: not built, wsgw runs in pure Python; ")
    assert not (tree / "wsgw/_native" / FILE_NAME).exists()


@needs_compiler
def test_arguments_for_the_compiler_come_from_the_environment(tree: Path) -> None:
    assert build(tree, CFLAGS="-Wall -Wextra -Werror").returncode == BUILT
    assert build(tree, CFLAGS="-DPy_LIMITED_API=1 -Werror").returncode == FAILED
    assert build(tree, CC="false").returncode == FAILED


def test_a_missing_compiler_is_named(tree: Path, tmp_path: Path) -> None:
    done = build(tree, PATH=str(tmp_path))
    assert done.returncode == UNABLE
    assert done.stdout.count("\n") == 1
    assert "missing: a C compiler (Debian: apt-get install gcc libc6-dev)" in done.stdout


def test_missing_headers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: "/nonexistent")
    assert f"the headers of {sys.executable} (Debian: apt-get install python3-dev)" in missing()
