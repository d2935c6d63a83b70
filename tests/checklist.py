"""Reads ``checklist.txt``: the rules a gateway is held to, and the tests that hold it.

``python tests/checklist.py > docs/protocol.md`` writes the table for people; ``test_checklist`` holds both.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

CHECKLIST = Path(__file__).with_name("checklist.txt")
NOT_IMPLEMENTED = "Not implemented"

_INTRODUCTION = """\
# The protocol, rule by rule

What the standards, the clients in use and the module that wsgw replaces ask of a gateway, what wsgw does
about it, and the tests that hold it to that. What wsgw does not do is in the table too.

`python tests/checklist.py > docs/protocol.md` writes this page out of `tests/checklist.txt`; a test compares
the two and looks for every test that is named. Case by case, RFC 6455 is in [conformance.md](conformance.md).
"""
_COLUMNS = "| rule | source | it says | wsgw | tests |\n|---|---|---|---|---|"


class Rule(NamedTuple):
    """One rule. Without ``tests`` it is not implemented, and ``does`` says so."""

    id: str
    source: str
    says: str
    #: What wsgw does, where there is more to say.
    does: str
    #: Pytest's node ids.
    tests: tuple[str, ...]


def sections() -> list[tuple[str, list[Rule]]]:
    """(title, rules) of each section, in order."""
    found: list[tuple[str, list[Rule]]] = []
    for paragraph in CHECKLIST.read_text("utf-8").split("\n\n")[1:]:
        if paragraph.startswith("## "):
            found.append((paragraph.removeprefix("## "), []))
        else:
            found[-1][1].append(_rule(paragraph.splitlines()))
    return found


def _rule(lines: list[str]) -> Rule:
    name, _, source = lines[0].partition(": ")
    tests = tuple(line for line in lines[1:] if line.startswith("tests/"))
    does = " ".join(line.removeprefix("> ") for line in lines[1:] if line.startswith("> "))
    says = " ".join(line for line in lines[1:] if not line.startswith(("tests/", "> ")))
    return Rule(name, source, says, does, tests)


def page() -> str:
    """The table as Markdown."""
    parts = [_INTRODUCTION]
    for title, rules in sections():
        parts += [f"## {title}\n", _COLUMNS, *(_row(rule) for rule in rules), ""]
    return "\n".join(parts)


def _row(rule: Rule) -> str:
    cells = [_text(cell) for cell in (rule.source, rule.says, rule.does or "As it says.")]
    tests = "<br>".join(f"`{test}`" for test in rule.tests) or "none"
    return "| " + " | ".join([f"`{rule.id}`", *cells, tests]) + " |"


def _text(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


if __name__ == "__main__":
    print(page(), end="")
