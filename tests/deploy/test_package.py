"""The result of ``pip install .``, the Dockerfile, and the quality of the scripts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import wsgw
from tests.deploy.conftest import Built, only_one
from tests.deploy.staging import copy_tree
from tests.support.fixtures import missing
from tests.support.processes import ROOT
from wsgw._native.build import FILE_NAME
from wsgw._native.build import missing as lacking_for_native
from wsgw._native.sources import RECORD

#: Of a service, for the steps of pip.
PATH = "/usr/bin:/bin"
SCRIPTS = sorted((ROOT / "scripts").glob("*.sh"))


@pytest.fixture(scope="session")
def wheel(shared: Path, offline: dict[str, str]) -> Path:
    """A wheel of this tree, built as pip builds it; once in a test run."""
    folder = shared / "wheel"
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    with only_one(folder):
        if not folder.exists():
            tree = copy_tree(shared / "wheel-tree")
            (tree / "wsgw/_native/old.so").touch()
            subprocess.run([*argv, str(tree)], check=True, env={**offline, "PATH": PATH})
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(shared: Path, wheel: Path, built: Built, offline: dict[str, str]) -> Path:
    """The bin folder of an environment with the wheel and the locked packages; once in a test run."""
    folder = shared / "environment"
    with only_one(folder):
        if not folder.exists():
            subprocess.run([str(built.filled), "-m", "venv", str(folder)], check=True)
            pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]
            subprocess.run(pip, check=True, env={**offline, "PATH": PATH})
    return folder / "bin"


def output(*argv: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in argv], cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_every_file_of_the_package(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But no sources in C, and no extension of the tree: only the one that was built with it."""
    monkeypatch.setenv("PATH", PATH)
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("wsgw/")}
    files = (path.relative_to(ROOT) for path in (ROOT / "wsgw").rglob("*") if path.is_file())
    kept = {
        str(path)
        for path in files
        if "__pycache__" not in path.parts and path.suffix not in (".c", ".h", ".so")
    }
    native = {f"wsgw/_native/{name}" for name in ((RECORD,) if lacking_for_native() else (RECORD, FILE_NAME))}
    assert packed == kept | native


def test_the_wheel_is_for_each_supported_python(wheel: Path) -> None:
    assert wheel.name.startswith(f"wsgw-{wsgw.__version__}-cp310-abi3-linux_")


def test_the_wheel_requires_the_packages_of_requirements_txt(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
    asked = re.findall(r"^Requires-Dist: (.+)$", metadata, re.MULTILINE)
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    named = [line for line in lines if line and not line.startswith("#")]

    def spelled(requirement: str) -> tuple[str, frozenset[str]]:
        name, rest = re.fullmatch(r"([\w.-]+)\s*(.*)", requirement.replace('"', "'")).groups()  # type: ignore[union-attr]
        versions, _, marker = rest.partition(";")
        return name, frozenset([*versions.replace(" ", "").split(","), marker.strip()])

    assert {spelled(one) for one in asked} == {spelled(one) for one in named}
    assert f"\nVersion: {wsgw.__version__}\n" in metadata
    assert "\nRequires-Python: >=3.10\n" in metadata


def test_the_command_runs_the_module(installed: Path) -> None:
    for argument in ("--version", "options"):
        assert output(installed / "wsgw", argument) == output(installed / "python", "-m", "wsgw", argument)
    assert output(installed / "wsgw", "--version") == f"wsgw {wsgw.__version__}\n"


def test_the_installed_packages_agree(installed: Path) -> None:
    assert "No broken requirements" in output(
        sys.executable, "-m", "pip", "--python", installed / "python", "check"
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_no_error(script: Path) -> None:
    if shutil.which("shellcheck") is None:
        missing("shellcheck is not installed")
    done = subprocess.run(
        ["shellcheck", "-x", str(script)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_image_runs_under_a_number_and_stops_as_the_gateway_does() -> None:
    last = dict(instructions())
    assert (last["USER"], last["STOPSIGNAL"], last["EXPOSE"]) == ("wsgw", "SIGTERM", "5288")
    assert last["VOLUME"] == "/etc/wsgw"
    assert json.loads(last["ENTRYPOINT"]) == ["python", "-m", "wsgw"]
    assert json.loads(last["HEALTHCHECK"].partition("CMD ")[2]) == ["python", "/opt/wsgw/health.py"]


def test_the_image_copies_only_files_that_docker_gets() -> None:
    """Every file copied from the tree exists, and .dockerignore does not exclude it."""
    seen = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        source
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    assert copied == seen
    assert all((ROOT / source).exists() for source in copied)


def test_every_account_of_the_image_may_read_the_health_check() -> None:
    """Also if it was built from a checkout with umask 077, whose modes a plain COPY keeps."""
    kept = [rest for word, rest in instructions() if word == "COPY" and rest.endswith((".py", "/opt/wsgw"))]
    assert kept == ["--from=build /opt/wsgw /opt/wsgw"]
    assert any("install -m 644 health.py /opt/wsgw" in rest for word, rest in instructions() if word == "RUN")
