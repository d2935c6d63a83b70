"""Reads the rules of ``rules.txt``, and the marks of their tests, ``@pytest.mark.rule("6120-4.7")``.

The marks are read from the syntax tree: a collection takes longer, and a module that is skipped because a
program is missing would leave its rules without tests.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
RULES = Path(__file__).with_name("rules.txt")
#: The section of the rules that are not implemented. Each gives the reason, and has no test.
DECIDED_OTHERWISE = "Decided otherwise"


class Rule(NamedTuple):
    """One rule. In the section ``DECIDED_OTHERWISE`` ``does`` is the decision and its reason."""

    id: str
    source: str
    says: str
    #: What wsgw does, if it is more than the rule.
    does: str


class Mark(NamedTuple):
    """One test of one rule."""

    rule: str
    #: Pytest's node id, without parameters.
    test: str


class MisplacedMark(Exception):
    """A mark that is not on a test function, or whose rule is not written as a string."""


def sections() -> list[tuple[str, list[Rule]]]:
    """(title, rules) of each section, in order."""
    found: list[tuple[str, list[Rule]]] = []
    for paragraph in RULES.read_text("utf-8").split("\n\n")[1:]:
        if paragraph.startswith("## "):
            found.append((paragraph.removeprefix("## "), []))
        else:
            found[-1][1].append(_rule(paragraph.splitlines()))
    return found


def _rule(lines: list[str]) -> Rule:
    name, _, source = lines[0].partition(": ")
    does = " ".join(line.removeprefix("> ") for line in lines[1:] if line.startswith("> "))
    says = " ".join(line for line in lines[1:] if not line.startswith("> "))
    return Rule(name, source, says, does)


def marked_tests() -> dict[str, list[str]]:
    """Node ids of the tests of each rule that a mark names, in order of their files and lines."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text("utf-8")
        if "mark.rule" in text:
            for mark in marks(str(path.relative_to(ROOT)), text):
                found.setdefault(mark.rule, []).append(mark.test)
    return found


def marks(path: str, text: str) -> Iterator[Mark]:
    """The marks of the file ``path`` with the content ``text``, in order. Raises MisplacedMark."""
    tree = ast.parse(text)
    on_tests = 0
    for function in functions_of(tree):
        calls = [node for node in function.decorator_list if isinstance(node, ast.Call)]
        for call in (call for call in calls if _is_mark(call.func)):
            on_tests += 1
            yield from (Mark(_name(path, name), f"{path}::{function.name}") for name in call.args)
    if on_tests != sum(map(_is_mark, ast.walk(tree))):
        raise MisplacedMark(f"{path}: mark.rule(...) belongs on a test function")


def functions_of(tree: ast.Module) -> list[ast.FunctionDef]:
    """The test functions of a module, in order."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [function for function in functions if function.name.startswith("test_")]


def _is_mark(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node).endswith("mark.rule")


def _name(path: str, node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise MisplacedMark(f"{path}:{node.lineno}: the name of a rule is a string")
