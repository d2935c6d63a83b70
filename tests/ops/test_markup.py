"""Markup: a text stays a text."""

from __future__ import annotations

from wsgw.ops.markup import Html, element, joined, pairs, table


def test_texts_are_escaped_everywhere() -> None:
    evil = "<script>'\"&"
    safe = "&lt;script&gt;&#x27;&quot;&amp;"
    assert element("p", evil, title=evil) == f'<p title="{safe}">{safe}</p>'
    assert joined([evil, Html("<br>")]) == f"{safe}<br>"
    assert safe in table(evil, [evil], [[evil]])
    assert evil not in table(evil, [evil], [[evil]])
    assert pairs([(evil, evil)]) == f"<dl><div><dt>{safe}</dt><dd>{safe}</dd></div></dl>"


def test_texts_have_no_invisible_characters() -> None:
    assert element("td", "moc\u202e\u200bא.é\n", title="\u202e") == (
        '<td title="\u202e">moc\\u202e\\u200bא.é\\x0a</td>'
    )


def test_attributes_without_a_value_and_elements_without_an_end() -> None:
    assert (
        element("input", name="q", required=True, disabled=False, value=None) == '<input name="q" required>'
    )
    assert element("p", None, 0, class_="a", aria_label="b") == '<p class="a" aria-label="b">0</p>'


def test_a_table_has_headings_and_marks_its_columns() -> None:
    found = table("Hosts", ["host", "#sessions", "~error"], [["a", 1, "x"]])
    assert 'role="region" aria-label="Hosts" tabindex="0"' in found
    assert '<th scope="col">host</th><th scope="col" class="number">sessions</th>' in found
    assert '<th scope="row">a</th><td class="number">1</td><td class="text">x</td>' in found
