"""The names in docs/architecture.md are names of the code."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


@cache
def classes() -> dict[str, set[str]]:
    """By class: its methods, and every attribute that its code sets."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "wsgw").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                names = found.setdefault(node.name, set())
                for part in ast.walk(node):
                    if isinstance(part, ast.FunctionDef):
                        names.add(part.name)
                    elif isinstance(part, ast.Attribute):
                        names.add(part.attr)
    return found


@pytest.mark.parametrize(("name", "member"), sorted(set(re.findall(r"`([A-Z]\w+)(?:\.(\w+))?`", PAGE))))
def test_a_class_has_the_attributes_that_the_page_names(name: str, member: str) -> None:
    assert name in classes() or name.isupper()
    assert not member or member in classes()[name]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([a-z_]+(?:/[a-z_]*)?)`", PAGE))))
def test_a_room_that_the_page_names_exists(name: str) -> None:
    known = [name in names for names in classes().values()]
    places = [ROOT / "wsgw" / name, ROOT / "wsgw" / f"{name}.py"]
    options = (ROOT / "docs" / "options.md").read_text("utf-8")
    assert any(known) or any(place.exists() for place in places) or f"`{name}`" in options or name == "states"
