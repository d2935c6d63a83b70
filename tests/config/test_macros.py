from __future__ import annotations

import pytest

from tests.config.snippets import term, terms, yaml_value
from wsgw.config.macros import Macros
from wsgw.config.terms import Mark, TupleTerm, write


@pytest.mark.parametrize(
    ("definitions", "use", "expanded"),
    [
        ("{define_macro, 'A', 1}.", "{a, 'A', [b, 'A'|'A']}", "{a, 1, [b, 1 | 1]}"),
        ("{define_macro, 'A', [x]}.", "{p, {'A'}}", "{p, {[x]}}"),
        ("{define_macro, 'A', 1}. {define_macro, 'A', 2}.", "'A'", "1"),
        ("{define_macro, 'B', {'A'}}. {define_macro, 'A', 1}.", "'B'", "{1}"),
        ("{define_macro, 'A', 1}.", "{use_macro, 'A', 2}", "1"),
        ("{define_macro, 'A', 1}.", "{use_macro, 'B', 'A'}", "1"),
        ("{define_macro, 'A', 1}.", "'B'", "'B'"),
        ("{define_macro, 'A', 1}.", '"A"', '"A"'),
        ("{define_macro, 'A', {'A'}}.", "'A'", "{'A'}"),
        ("{define_macro, a}. {define_macro}. {define_macro, 'A', b, c}.", "'A'", "'A'"),
    ],
)
def test_a_macro_is_replaced_by_its_value(definitions: str, use: str, expanded: str) -> None:
    assert write(Macros(terms(definitions)).expand(term(use))) == expanded


def test_the_value_has_the_line_of_its_use() -> None:
    definition, use = terms("{define_macro, 'A', {b,\n c}}.\n\n{use,\n 'A'}.")
    expanded = Macros([definition]).expand(use)
    assert isinstance(expanded, TupleTerm)
    value = expanded.items[1]
    assert isinstance(value, TupleTerm)
    assert (value.mark.line, value.items[1].mark.line) == (5, 2)


@pytest.mark.parametrize("definitions", ["{'A': 1}", "[{'A': 1}]", '{"A": 1}'])
def test_macros_of_yaml_are_read_in_every_form(definitions: str) -> None:
    definition = TupleTerm((term("define_macro"), yaml_value(definitions)), Mark("", 0))
    assert Macros([definition]).expand(yaml_value("[A, 'A', \"A\"]")) == term('[1, 1, "A"]')


def test_the_size_of_expanded_macros_is_bounded() -> None:
    def definition(i: int) -> str:
        uses = ",".join([f"'A{i - 1}'"] * 50)
        return f"{{define_macro, 'A{i}', [{uses}]}}."

    text = "\n".join(map(definition, range(1, 8))) + "\n"
    macros = Macros(terms("{define_macro, 'A0', x}.\n" + text))
    assert write(macros.expand(term("'A7'"))).count("x") < 2_000_000


def test_a_long_chain_of_macros_ends() -> None:
    text = "".join(f"{{define_macro, 'A{i}', 'A{i - 1}'}}.\n" for i in range(1, 5000))
    assert write(Macros(terms(text)).expand(term("'A4999'"))).startswith("'A")
