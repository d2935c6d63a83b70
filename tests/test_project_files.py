"""The files for tools and maintainers agree with one another: versions, scripts, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import wsgw
from tests.support.processes import ROOT


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def found(pattern: str, name: str) -> str:
    """The first group of the only match of ``pattern`` in the file ``name``."""
    (match,) = re.findall(pattern, text(name), re.MULTILINE)
    assert isinstance(match, str)
    return match


def test_every_place_names_the_same_versions_of_python() -> None:
    versions = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text("pyproject.toml"))
    workflow = yaml.safe_load(text(".github/workflows/ci.yml"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == versions
    oldest, newest = versions[0], versions[-1]
    assert found(r'^requires-python = ">=(.+)"', "pyproject.toml") == oldest
    assert found(r'^python_version = "(.+)"', "pyproject.toml") == oldest
    assert found(r'^target-version = "py(.+)"', "pyproject.toml") == oldest.replace(".", "")
    assert found(r"Python (\S+) or newer", "README.md") == oldest
    assert f"Python {oldest} to {newest} on Linux" in " ".join(text("docs/deployment.md").split())
    assert set(re.findall(r"^FROM python:([\d.]+)-", text("Dockerfile"), re.MULTILINE)) <= set(versions)


def test_the_changelog_has_a_heading_for_this_version() -> None:
    headings = re.findall(
        r"^## \[(.+?)\] - (?:unreleased|\d{4}-\d\d-\d\d)$", text("CHANGELOG.md"), re.MULTILINE
    )
    assert headings[0] == wsgw.__version__


@pytest.mark.parametrize(
    "name",
    [
        "Makefile",
        ".pre-commit-config.yaml",
        ".github/workflows/ci.yml",
        "CONTRIBUTING.md",
        "docs/releasing.md",
    ],
)
def test_every_named_script_exists(name: str) -> None:
    named = re.findall(r"(?<![\w/])(?:scripts|tests|\.ci)/[\w./-]*\w", text(name))
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "tests/bench/README.md"])


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_broken(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return not target.exists() or bool(anchor and anchor not in anchors(target))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_has_a_target(page: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8"))
    assert [link for link in links if "://" not in link and is_broken(page, link)] == []


def test_the_readme_is_short() -> None:
    lines = [line for line in text("README.md").splitlines() if not line.startswith("```")]
    assert len(lines) <= 150
