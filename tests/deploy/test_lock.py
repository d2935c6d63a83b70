"""The locks name one version of each package, with hashes, for each supported Python and machine."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.conftest import Built
from tests.deploy.staging import LOCKS, Stage
from tests.support.processes import ROOT

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
BUILD_LOCK, LOCK = LOCKS
INSTALL = "pip install --require-hashes"


class Locked(NamedTuple):
    requirement: Requirement
    version: str
    hashes: tuple[str, ...]


def locked(name: str) -> Iterator[Locked]:
    """The entries of a lock."""
    text = (ROOT / name).read_text().replace("\\\n", "")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        words, *hashes = line.split("--hash=")
        requirement = Requirement(words.strip())
        (version,) = requirement.specifier
        assert version.operator == "=="
        yield Locked(requirement, version.version, tuple(one.strip() for one in hashes))


def asked(name: str) -> Iterator[Requirement]:
    """The lines of a requirements file."""
    lines = (ROOT / name).read_text().splitlines()
    return (Requirement(line) for line in lines if line and not line.startswith("#"))


def environment(python: str, machine: str) -> dict[str, str]:
    """The variables of markers, with their values there."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "platform_machine": machine,
        "sys_platform": "linux",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


def holds(requirement: Requirement, there: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(there)


def chosen(name: str, there: dict[str, str]) -> dict[str, str]:
    """Names and versions that a lock installs there: one of each."""
    found = [(canonicalize_name(one.requirement.name), one) for one in locked(name)]
    pairs = [(key, one.version) for key, one in found if holds(one.requirement, there)]
    assert len(pairs) == len(dict(pairs)), pairs
    return dict(pairs)


@pytest.mark.parametrize(("python", "machine"), [*itertools.product(PYTHONS, MACHINES)])
def test_the_locks_agree_with_the_requirements(python: str, machine: str) -> None:
    there = environment(python, machine)
    everything, tools = chosen(LOCK, there), chosen(BUILD_LOCK, there)
    for source in ("requirements.txt", "requirements-build.txt"):
        for requirement in asked(source):
            if holds(requirement, there):
                version = everything[canonicalize_name(requirement.name)]
                assert version in requirement.specifier, f"{requirement}: run scripts/lock.sh"
    assert tools.items() <= everything.items()
    named = {canonicalize_name(one.name) for one in asked("requirements-build.txt") if holds(one, there)}
    assert named <= tools.keys()


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_has_hashes_and_no_address(name: str) -> None:
    for entry in locked(name):
        assert entry.hashes
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in entry.hashes), entry
        assert entry.requirement.url is None
    assert not re.search(r"(?m)://|^ *--(?!hash=)|@", (ROOT / name).read_text())


def test_the_files_are_the_same_in_both_locks() -> None:
    everything = {(str(one.requirement.name), one.version): one.hashes for one in locked(LOCK)}
    for one in locked(BUILD_LOCK):
        assert everything[one.requirement.name, one.version] == one.hashes


def test_the_lock_of_tools_has_the_build_requirements() -> None:
    (requires,) = re.findall(r"^requires = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert set(re.findall('"(.+?)"', requires)) <= {str(one) for one in asked("requirements-build.txt")}


def test_the_image_is_installed_from_the_locks() -> None:
    commands = re.findall(r"/opt/wsgw/bin/(pip [^\\\n]+?) *\\?\n", (ROOT / "Dockerfile").read_text())
    assert commands == [
        f"{INSTALL} -r {BUILD_LOCK}",
        f"{INSTALL} --no-build-isolation -r {LOCK}",
        "pip install --no-deps --no-build-isolation .",
    ]


def test_a_changed_package_is_not_installed(
    built: Built, make_stage: Callable[[Path | None], Stage], tmp_path: Path
) -> None:
    """A file with another content, under a locked name and version."""
    stage = make_stage(built.first)
    before = stage.snapshot()
    packages = tmp_path / "packages"
    shutil.copytree(stage.env["PIP_FIND_LINKS"], packages)
    (changed,) = packages.glob("defusedxml-*")
    changed.write_bytes(changed.read_bytes() + b"\0")
    stage.env["PYTHON"] = str(built.empty)
    stage.env["PIP_FIND_LINKS"] = str(packages)
    said = stage.deploy(built.new, status=1)
    assert "DO NOT MATCH THE HASHES" in said
    assert "pip could not install the release" in said
    assert stage.snapshot() == before
