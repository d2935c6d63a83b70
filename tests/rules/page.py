"""The rules as a page for people."""

from __future__ import annotations

from tests.rules.reader import Rule, marked_tests, sections

_INTRODUCTION = """\
# The protocol, rule by rule

The requirements of the standards, of deployed clients and of the module that wsgw replaces, the behaviour of
wsgw, and the tests that check it. The tables also list the rules that wsgw does not implement.

`python -m tests.rules > docs/protocol.md` writes this page from `tests/rules/rules.txt` and from the
tests: a test names the rules that it checks, `@pytest.mark.rule("6120-4.7")`. Another test compares the
page with both. [conformance.md](conformance.md) has RFC 6455 case by case.
"""
_COLUMNS = "| rule | source | requirement | wsgw | tests |\n|---|---|---|---|---|"


def page() -> str:
    """The table as Markdown."""
    tests = marked_tests()
    parts = [_INTRODUCTION]
    for title, rules in sections():
        parts += [f"## {title}\n", _COLUMNS, *(_row(rule, tests.get(rule.id, [])) for rule in rules), ""]
    return "\n".join(parts)


def _row(rule: Rule, tests: list[str]) -> str:
    cells = [_text(cell) for cell in (rule.source, rule.says, rule.does or "As required.")]
    cells.append("<br>".join(f"`{test}`" for test in tests) or "none")
    return "| " + " | ".join([f"`{rule.id}`", *cells]) + " |"


def _text(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
