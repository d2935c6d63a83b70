from __future__ import annotations

import pytest

from tests.config.snippets import term, yaml_value
from wsgw.config.terms import MapTerm, Mark, Problems, Term, TupleTerm
from wsgw.config.yaml_terms import read_yaml
from wsgw.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "erlang"),
    [
        ("abc", "abc"),
        ("'MACRO'", "'MACRO'"),
        ('"abc"', '"abc"'),
        ("|\n  a\n  b\n", '"a\\nb\\n"'),
        ("5", "5"),
        ("0x10", "16"),
        ("1.5", "1.5"),
        ("yes", "true"),
        ("off", "false"),
        ("~", "undefined"),
        ("", "undefined"),
        (".inf", "infinity"),
        ("infinity", "infinity"),
        ("2001-01-01", "'2001-01-01'"),
        ("::1", "'::1'"),
        ("[a, [b]]", "[a, [b]]"),
        ("!ours x", "x"),
    ],
)
def test_yaml_values_become_the_terms_of_erlang(text: str, erlang: str) -> None:
    assert yaml_value(text) == term(erlang)


def _read(text: str) -> tuple[list[Term], list[str]]:
    problems = Problems()
    found = read_yaml(text, "t.yml", problems)
    try:
        problems.raise_if_any()
    except ConfigError as error:
        return found, [str(problem) for problem in error.problems]
    return found, []


def test_options_come_as_pairs_with_lines() -> None:
    (first, second), _ = _read("# x\na:\n  b: 1\n  c: 2\nd: 3\n")
    assert isinstance(first, TupleTerm)
    assert isinstance(first.items[1], MapTerm)
    assert first.mark == Mark("t.yml", 2)
    assert [key.mark.line for key, _ in first.items[1].pairs] == [3, 4]
    assert second.mark.line == 5


def test_repeated_keys_are_kept() -> None:
    assert len(_read("a: 1\na: 2")[0]) == 2


def test_the_top_may_be_a_list_of_mappings() -> None:
    assert len(_read("- a: 1\n- b: 2\n  c: 3")[0]) == 3


def test_empty_files_set_nothing() -> None:
    assert _read("") == _read("# nothing\n") == ([], [])


def test_anchors_and_merges_are_read() -> None:
    (_, second), told = _read("base: &base {a: 1, b: 2}\nother: {<<: *base, b: 3}")
    assert not told
    assert second == TupleTerm((term("other"), yaml_value("{b: 3, a: 1}")), Mark("", 0))


_LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: b: c", "t.yml:1: not YAML: mapping values are not allowed here"),
        ("a:\n\t- b", "t.yml:2: not YAML: "),
        ("a: [b", "t.yml:1: not YAML: "),
        ("a: *b", "t.yml:1: not YAML: found undefined alias 'b'"),
        ("token: *sixteen-letters-", "t.yml:1: not YAML: found undefined alias '...'"),
        ("a: 1\nb: \x01", "t.yml:2: not YAML: special characters are not allowed"),
        ("just words", "t.yml:1: expected options, each as 'name: value'"),
        ("- a: 1\n- b", "t.yml:2: expected options"),
        ("a: &a [*a]", "t.yml:1: "),
        ("a: " + "[" * 5000, "t.yml: nested too deeply"),
        ("a: " + "[" * 150 + "]" * 150, "t.yml:1: nested more than 100 deep"),
        (_LAUGHS, "t.yml:"),
        ("a: !!int x", "t.yml:1: not a value"),
        ("a: 1\n--- \nb: 2", "t.yml:2: not YAML: but found another document"),
    ],
)
def test_a_yaml_error_has_its_line(text: str, problem: str) -> None:
    found, told = _read(text)
    assert found == []
    assert len(told) == 1
    assert told[0].startswith(problem)
