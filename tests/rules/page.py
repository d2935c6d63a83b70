"""The rules as a page for people."""

from __future__ import annotations

from tests.rules.reader import DECIDED_OTHERWISE, Rule, marked_tests, sections

_INTRODUCTION = """\
# The protocol, rule by rule

The requirements of the standards, of deployed clients and of the module that wsgw replaces, the behaviour of
wsgw, and the tests that check it. The last section, [decided otherwise](#decided-otherwise), lists the
rules that wsgw does not implement, and why.

`python -m tests.rules > docs/protocol.md` writes this page from `tests/rules/rules.txt` and from the
tests: a test names the rules that it checks, `@pytest.mark.rule("6120-4.7")`. Another test compares the
page with both. [conformance.md](conformance.md) has RFC 6455 case by case.
"""
_COLUMNS = "| rule | source | requirement | wsgw | tests |\n|---|---|---|---|---|"
_DECISIONS = "| rule | source | rule of the standard | decision and reason |\n|---|---|---|---|"


def page() -> str:
    """The table as Markdown."""
    tests = marked_tests()
    parts = [_INTRODUCTION]
    for title, rules in sections():
        if title == DECIDED_OTHERWISE:
            parts += [f"## {title}\n", _DECISIONS, *(_row(rule) for rule in rules), ""]
        else:
            parts += [f"## {title}\n", _COLUMNS, *(_row(rule, _listed(tests[rule.id])) for rule in rules), ""]
    return "\n".join(parts)


def _row(rule: Rule, *cells: str) -> str:
    texts = [_text(text) for text in (rule.source, rule.says, rule.does or "As required.")]
    return "| " + " | ".join([f"`{rule.id}`", *texts, *cells]) + " |"


def _listed(tests: list[str]) -> str:
    return "<br>".join(f"`{test}`" for test in tests)


def _text(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
