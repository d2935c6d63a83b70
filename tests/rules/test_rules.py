"""The rules agree with the tests and the documentation: no rule without a test, no mark without a rule."""

from __future__ import annotations

import ast

import pytest

from tests.rules.page import page
from tests.rules.reader import (
    DECIDED_OTHERWISE,
    ROOT,
    MisplacedMark,
    Rule,
    functions_of,
    marked_tests,
    marks,
    sections,
)

RULES = [rule for _, rules in sections() for rule in rules]
OTHERWISE = dict(sections())[DECIDED_OTHERWISE]
TESTS = marked_tests()


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_a_rule_has_tests_or_is_decided_otherwise(rule: Rule) -> None:
    assert (rule in OTHERWISE) is not bool(TESTS.get(rule.id))
    assert rule.does or rule not in OTHERWISE


def test_every_mark_has_its_rule() -> None:
    unknown = {name: tests for name, tests in TESTS.items() if name not in {rule.id for rule in RULES}}
    assert not unknown


def test_no_test_names_a_rule_twice() -> None:
    assert [name for name, tests in TESTS.items() if len(set(tests)) != len(tests)] == []


def test_every_rule_has_its_own_name() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("name", ["test_rfc7395", "test_rfc6120", "test_old_faults"])
def test_every_test_of_the_modules_of_rules_has_a_mark(name: str) -> None:
    path = f"tests/end_to_end/{name}.py"
    marked = {test for tests in TESTS.values() for test in tests}
    functions = functions_of(ast.parse((ROOT / path).read_text("utf-8")))
    assert {f"{path}::{function.name}" for function in functions} <= marked


def test_the_documentation_is_made_from_the_rules() -> None:
    """After a change: ``make docs``."""
    assert (ROOT / "docs" / "protocol.md").read_text("utf-8") == page()


MARKED = """
@pytest.mark.rule("a", "b")
@pytest.mark.parametrize("c", "de")
@pytest.mark.rule("f")
def test_it(c): ...
"""


def test_a_test_may_name_several_rules() -> None:
    assert [*marks("t.py", MARKED)] == [(name, "t.py::test_it") for name in "abf"]


@pytest.mark.parametrize(
    "text",
    [
        'pytestmark = pytest.mark.rule("a")',
        '@pytest.mark.rule("a")\ndef helper(): ...',
        '@pytest.mark.rule\ndef test_it(): ...',
        'from pytest import mark\n\nx = mark.rule("a")',
        'CASES = [pytest.param(1, marks=pytest.mark.rule("a"))]',
        '@pytest.mark.rule(NAME)\ndef test_it(): ...',
        '@pytest.mark.rule(*NAMES)\ndef test_it(): ...',
    ],
)  # fmt: skip
def test_a_misplaced_mark_is_an_error(text: str) -> None:
    with pytest.raises(MisplacedMark):
        [*marks("t.py", text)]
