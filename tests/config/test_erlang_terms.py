"""The parser of Erlang terms: forms, places, and how it continues after errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.config.snippets import term, terms
from wsgw.config.erlang_terms import read_erlang
from wsgw.config.terms import Atom, ListTerm, Mark, Number, Problems, Term, Text, TupleTerm, write
from wsgw.errors import ConfigError

AT = Mark("t.cfg", 1)


def _tuple(*items: Term) -> TupleTerm:
    return TupleTerm(items, AT)


def _list(*items: Term, tail: Term | None = None) -> ListTerm:
    return ListTerm(items, AT, tail)


def _number(value: float) -> Number:
    return Number(value, AT)


def _text(value: str) -> Text:
    return Text(value, AT)


def _atom(name: str) -> Atom:
    return Atom(name, AT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b@C1", _atom("a_b@C1")),
        ("'MACRO'", _atom("MACRO")),
        (r"'it\'s'", _atom("it's")),
        ('"abc"', _text("abc")),
        ('"a" "b"\n"c"', _text("abc")),
        (r'"\n\t\\\"\s\e\d\0"', _text('\n\t\\" \x1b\x7f\0')),
        (r'"\303\x41\x{20ac}\^A\q"', _text("\u00c3A\u20ac\x01q")),
        ('"50% of {[("', _text("50% of {[(")),
        ('<<"abc">>', _text("abc")),
        ('<<"é"/utf8>>', _text("é")),
        ('<<97,"b",195,169>>', _text("abé")),
        ("<<>>", _text("")),
        ("42", _number(42)),
        ("1_000", _number(1000)),
        ("16#fF", _number(255)),
        ("2#101", _number(5)),
        ("-5", _number(-5)),
        ("- 5", _number(-5)),
        ("+5", _number(5)),
        ("1.5e-3", _number(0.0015)),
        ("-2.0", _number(-2.0)),
        ("$a", _number(97)),
        (r"$\n", _number(10)),
        ("$ ", _number(32)),
        ("$%", _number(37)),
        ("{}", _tuple()),
        ("[]", _list()),
        ("{a,[{b}]}", _tuple(_atom("a"), _list(_tuple(_atom("b"))))),
        ("[a|b]", _list(_atom("a"), tail=_atom("b"))),
        ("[a|[b]]", _list(_atom("a"), _atom("b"))),
        ("{a, % comment }\n b}", _tuple(_atom("a"), _atom("b"))),
    ],
)
def test_a_term_of_every_form_is_read(text: str, expected: Term) -> None:
    assert term(text) == expected


def test_every_term_knows_its_line() -> None:
    first, second = terms("\n{a,\n [b,\n  'C']}.\n%%\n\"x\n y\".")
    assert isinstance(first, TupleTerm)
    assert isinstance(first.items[1], ListTerm)
    assert [first.mark.line, first.items[1].mark.line] == [2, 3]
    assert [item.mark.line for item in first.items[1].items] == [3, 4]
    assert second.mark == Mark("t.cfg", 6)


def test_a_dot_ends_a_term() -> None:
    assert len(terms("a. b.% c\nc.")) == 3
    assert terms("") == terms("%% only a comment") == []


def _problems(text: str) -> tuple[list[Term], list[str]]:
    problems = Problems()
    found = read_erlang(text, "t.cfg", problems)
    try:
        problems.raise_if_any()
    except ConfigError as error:
        return found, [f"{problem.line}: {problem.reason}" for problem in error.problems]
    return found, []


@pytest.mark.parametrize(
    ("text", "mistakes", "left"),
    [
        ("{a, b}\n", ["1: missing '.' after this term"], 1),
        ("{a, b}\n{c, d}.", ["1: missing '.' after this term"], 2),
        ("{a b}. c.", ["1: missing ',' before b"], 2),
        ("[{a}\n{b}]. c.", ["2: missing ',' before '{'"], 2),
        ("[a, b,]. c.", ["1: superfluous ',' before ']'"], 2),
        ("{a, [b}.\nc.", ["1: expected ',' or ']' for the '[' of line 1, found '}'"], 1),
        ("{a,\n [b].\nc.", ["2: the '{' of line 1 is not closed before the '.'"], 1),
        ("{a, b}}.\nc.", ["1: expected '.' after the term, found '}'"], 2),
        ("{a, }. c.", ["1: superfluous ',' before '}'"], 2),
        ("{, a}. c.", ["1: expected a term, found ','"], 1),
        ("{a, X}.\nc.", ["1: X is a variable here; a name in capitals needs single quotes: 'X'"], 1),
        ('{a, "b}.\n{c, "d"}.\ne.', ["1: a quote opened on this line is not closed on it"], 2),
        ('{a, [\n "b},\n "c"]}.\ne.', ["2: a quote opened on this line is not closed on it"], 1),
        ("{a, 'b}.\nc.", ["1: a quote opened on this line is not closed on it"], 1),
        ("a.b.\nc.", ["1: a '.' ends a term only before a blank or the end of a line"], 2),
        ("{a, ~}.\nc.", ["1: unexpected character '~'"], 1),
        ("{a, 37#1}.\nc.", ["1: not a number: no number has base 37"], 1),
        ("{a, 1.0e999}.\nc.", ["1: the number is out of range"], 1),
        (r'{a, "\x{110000}"}.' + "\nc.", [r"1: there is no character \x{110000}"], 1),
        ("{a, -b}.\nc.", ["1: expected a number after '-', found b"], 1),
        ("<<a>>.\nc.", ["1: expected strings or bytes in <<>>, found a"], 1),
        ("<<300>>.\nc.", ["1: expected strings or bytes in <<>>, found 300"], 1),
        ("{a", ["1: the '{' of line 1 is not closed before the end of the file"], 0),
        ("[a|b, c].\nc.", ["1: expected ',' or ']' for the '[' of line 1, found ','"], 1),
        (
            "{a, {b}.\n{c, ]}.\nd.",
            ["1: the '{' of line 1 is not closed before the '.'", "2: expected a term, found ']'"],
            1,
        ),
        ("[" * 200 + "].\nc.", ["1: nested more than 100 deep"], 1),
    ],
)
def test_errors_name_their_line_and_the_rest_is_read(text: str, mistakes: list[str], left: int) -> None:
    found, told = _problems(text)
    assert (told, len(found)) == (mistakes, left)


def test_a_message_does_not_show_a_string() -> None:
    assert "secret" not in str(_problems('{auth_password -> "secret"}.\n{a, b} "secret".'))


def test_a_file_of_another_kind_gives_few_errors() -> None:
    assert len(_problems("}.\n" * 1000)[1]) <= 50


_NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_TERMS = st.recursive(
    st.one_of(
        st.builds(_atom, _NAMES),
        st.builds(_text, _NAMES),
        st.builds(_number, st.integers(-(10**30), 10**30)),
        st.builds(_number, st.floats(allow_nan=False, allow_infinity=False)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: _tuple(*items)),
        st.lists(inner, max_size=4).map(lambda items: _list(*items)),
    ),
    max_leaves=12,
)


@given(_TERMS)
def test_a_written_term_is_read_as_the_same_term(original: Term) -> None:
    assert term(write(original)) == original


@given(st.text(alphabet="{}[],.|<>\"'$\\%-#:/ \na1A~"))
def test_any_text_is_terms_or_problems(text: str) -> None:
    found, told = _problems(text)
    assert found or told or not text.split("%")[0].strip() or "%" in text
