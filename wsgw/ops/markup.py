"""HTML from Python values: each text is escaped, wherever it comes from, unless it is markup made here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from wsgw.ops.log_formats import visible

#: Elements without an end tag (HTML, section 13.1.2).
_VOID: Final = frozenset(("img", "input", "link", "meta"))
#: The class of the cells of a column, by the first character of its head.
_COLUMNS: Final = {"#": "number", "~": "text"}


class Html(str):
    """Markup. Any other string is a text."""

    __slots__ = ()


def element(name: str, /, *content: object, **attributes: object) -> Html:
    """An element. ``content``: markup and texts; None is omitted.

    Of an attribute's name a final underscore is removed (``class_``), and others become hyphens
    (``aria_label``). The value True makes an attribute without a value; False and None make none.
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    end = "" if name in _VOID else f"</{name}>"
    return Html(f"<{name}{given}>{joined(content)}{end}")


def joined(content: Iterable[object]) -> Html:
    """Several pieces of markup and texts, one after the other."""
    return Html("".join(_markup(one) for one in content))


def _markup(value: object) -> str:
    if value is None:
        return ""
    # A peer chooses parts of the texts: as in the log, it hides no character and turns no direction.
    return value if isinstance(value, Html) else escape(visible(str(value)))


def table(label: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """A table that screen readers call ``label``; the first cell of each row is its heading.

    On a narrow screen it scrolls, also by the keyboard, and the page does not. The head of a column of
    numbers begins with ``#``, that of a column of texts of any length with ``~``; this sign is not shown.
    """
    marks = [_COLUMNS.get(head[:1]) for head in heads]
    names = [head.lstrip("".join(_COLUMNS)) for head in heads]
    top = [element("th", name, scope="col", class_=mark) for name, mark in zip(names, marks, strict=True)]
    body = [
        element("tr", *(_cell(at, one, mark) for at, (one, mark) in enumerate(zip(row, marks, strict=True))))
        for row in rows
    ]
    content = element("table", element("thead", element("tr", *top)), element("tbody", *body))
    return element("div", content, class_="scroll", role="region", aria_label=label, tabindex=0)


def _cell(column: int, content: object, mark: str | None) -> Html:
    if column:
        return element("td", content, class_=mark)
    return element("th", content, scope="row", class_=mark)


def pairs(rows: Iterable[tuple[object, object]], **attributes: object) -> Html:
    """A list of names with their values."""
    groups = (element("div", element("dt", name), element("dd", value)) for name, value in rows)
    return element("dl", *groups, **attributes)
