"""The checklist against the tests and the documentation: no rule without its test, no test that is gone."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.checklist import NOT_IMPLEMENTED, Rule, page, sections

ROOT = Path(__file__).resolve().parents[1]
RULES = [rule for _, rules in sections() for rule in rules]


@cache
def functions(path: Path) -> frozenset[str]:
    """The names of the test functions of a file."""
    tree = ast.parse(path.read_text("utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return frozenset(name for name in names if name.startswith("test_"))


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_every_rule_has_tests_that_exist(rule: Rule) -> None:
    for node in rule.tests:
        path, _, name = node.partition("::")
        assert name in functions(ROOT / path), f"{rule.id}: there is no {node}"
    assert len(set(rule.tests)) == len(rule.tests)


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_what_has_no_test_is_said_not_to_be_there(rule: Rule) -> None:
    assert rule.does.startswith(NOT_IMPLEMENTED) is not bool(rule.tests)


def test_every_rule_has_its_own_name() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("name", ["test_rfc7395", "test_rfc6120", "test_old_faults"])
def test_the_tests_of_the_rules_are_all_in_the_table(name: str) -> None:
    path = ROOT / "tests" / "end_to_end" / f"{name}.py"
    named = {node for rule in RULES for node in rule.tests}
    assert {f"tests/end_to_end/{name}.py::{test}" for test in functions(path)} <= named


def test_the_documentation_is_the_table() -> None:
    """After a change: ``python tests/checklist.py > docs/protocol.md``."""
    assert (ROOT / "docs" / "protocol.md").read_text("utf-8") == page()
