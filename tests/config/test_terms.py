from __future__ import annotations

import pytest

from tests.config.snippets import term, yaml_value
from wsgw.config.terms import (
    Atom,
    Mark,
    Misfit,
    Problems,
    Text,
    entries_of,
    items_of,
    name_of,
    show,
    text_of,
    write,
)
from wsgw.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"a"', "a"),
        ('<<"a">>', "a"),
        ("a", "a"),
        ("true", None),
        ("infinity", None),
        ("'MACRO'", None),
        ("1", None),
    ],
)
def test_text_of_gives_the_text_of_strings_and_atoms(text: str, expected: str | None) -> None:
    assert text_of(term(text)) == expected


def test_entries_are_read_in_all_four_forms() -> None:
    pairs = [("a", "1"), ("b", "2")]
    for value in (
        term("[{a, 1}, {b, 2}]"),
        yaml_value("{a: 1, b: 2}"),
        yaml_value("[{a: 1}, {b: 2}]"),
    ):
        assert [(name_of(key), show(found)) for key, found in entries_of(value) if found] == pairs
    assert list(entries_of(term("[a]"))) == [(term("a"), None)]
    assert list(entries_of(term("a"))) == []


def test_the_empty_string_is_the_empty_list() -> None:
    assert items_of(term('""')) == items_of(term("[]")) == ()
    assert items_of(term("[a|b]")) is None
    assert items_of(term('"a"')) is None


def test_a_shown_term_is_cut() -> None:
    assert show(term("{a, \"b\", [1, -2.5], 'C d'}")) == "{a, \"b\", [1, -2.5], 'C d'}"
    assert len(show(term('"' + "x" * 1000 + '"'))) < 100
    assert "..." in show(term("[" * 50 + "]" * 50))
    assert show(yaml_value("{a: [b]}")) == "{a: [b]}"
    assert write(term("[a|b]")) == "[a | b]"


def test_problems_are_sorted_and_each_is_reported_once() -> None:
    problems = Problems()
    problems.raise_if_any()
    problems.add(Mark("f", 9), "later")
    problems.add(Mark("f", 2), "earlier")
    problems.add(Mark("f", 9), "later")
    problems.incomplete = True
    problems.add_missing(Mark("f", 1), "not looked for")
    with pytest.raises(ConfigError) as caught:
        problems.raise_if_any()
    assert str(caught.value) == "f:2: earlier\nf:9: later"


def test_misfits_are_joined() -> None:
    first, second = Misfit(Mark("f", 1), "one"), Misfit(Mark("f", 2), "two")
    assert Misfit.joined([first, second]).errors == [(Mark("f", 1), "one"), (Mark("f", 2), "two")]


@pytest.mark.parametrize(
    ("name", "macro"), [("PORT", True), ("C2S_PORT", True), ("10.0.0.1", False), ("Port", False)]
)
def test_an_atom_in_capitals_looks_like_a_macro(name: str, macro: bool) -> None:
    assert Atom(name, Mark("f", 1)).looks_like_macro is macro


def test_terms_of_different_lines_are_equal() -> None:
    assert Text("a", Mark("f", 1)) == Text("a", Mark("g", 2))
