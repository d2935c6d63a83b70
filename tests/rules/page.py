"""The rules as a page for people."""

from __future__ import annotations

from tests.rules.reader import Rule, marked_tests, sections

_INTRODUCTION = """\
# The protocol, rule by rule

What the standards, the clients in use and the module that wsgw replaces ask of a gateway, what wsgw does
about it, and the tests that hold it to that. What wsgw does not do is in the table too.

`python -m tests.rules > docs/protocol.md` writes this page: the rules are those of `tests/rules/rules.txt`,
and a test names the rules it holds, `@pytest.mark.rule("6120-4.7")`. A test compares the page with both. Case
by case, RFC 6455 is in [conformance.md](conformance.md).
"""
_COLUMNS = "| rule | source | it says | wsgw | tests |\n|---|---|---|---|---|"


def page() -> str:
    """The table as Markdown."""
    tests = marked_tests()
    parts = [_INTRODUCTION]
    for title, rules in sections():
        parts += [f"## {title}\n", _COLUMNS, *(_row(rule, tests.get(rule.id, [])) for rule in rules), ""]
    return "\n".join(parts)


def _row(rule: Rule, tests: list[str]) -> str:
    cells = [_text(cell) for cell in (rule.source, rule.says, rule.does or "As it says.")]
    cells.append("<br>".join(f"`{test}`" for test in tests) or "none")
    return "| " + " | ".join([f"`{rule.id}`", *cells]) + " |"


def _text(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
