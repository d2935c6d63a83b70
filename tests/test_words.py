"""Every text that a person reads avoids the expressions of the second table of words in CONTRIBUTING.md.

A text is a page, a comment, a message, a docstring or the name of a test. Code is not a text: neither the
identifiers of a program nor the code spans and code blocks of a page.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.processes import ROOT

CONTRIBUTING = ROOT / "CONTRIBUTING.md"
_CODE_BLOCK = re.compile(r"^```.*?^```|^ {4}(?![-*\d]).*?$", re.MULTILINE | re.DOTALL)
_CODE_SPAN = re.compile(r"``[^`]*``|`[^`\n]*`|\]\([^)]*\)")
_TABLE = re.compile(r"^\| expression \|.*?\n\n", re.MULTILINE | re.DOTALL)


class Expression(NamedTuple):
    """One row of the table: the forms of an expression, and the phrases in which it is allowed."""

    forms: re.Pattern[str]
    allowed: re.Pattern[str] | None


def _any_of(phrases: list[str]) -> re.Pattern[str]:
    words = "|".join(re.escape(phrase).replace(r"\ ", r"\s+") for phrase in phrases)
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE)


def expressions() -> list[Expression]:
    """The rows of the table in CONTRIBUTING.md."""
    table = _TABLE.search(CONTRIBUTING.read_text("utf-8") + "\n\n")
    assert table is not None
    rows = [re.split(r"(?<!\\)\|", line)[1:4] for line in table[0].splitlines()[2:] if line]
    spans = [[re.findall(r"`([^`]+)`", cell) for cell in row] for row in rows]
    return [Expression(_any_of(forms), _any_of(allowed) if allowed else None) for forms, _, allowed in spans]


EXPRESSIONS = expressions()


def found(text: str) -> list[str]:
    """The expressions in a text, as they are written there."""
    hits = []
    for expression in EXPRESSIONS:
        rest = expression.allowed.sub(" ", text) if expression.allowed else text
        hits += [" ".join(hit.split()) for hit in expression.forms.findall(rest)]
    return hits


def of_markdown(text: str) -> Iterator[str]:
    yield _CODE_SPAN.sub(" x ", _CODE_BLOCK.sub("", _TABLE.sub("", text)))


def of_comments(text: str, sign: str) -> Iterator[str]:
    """The comments of a text; comments on consecutive lines are one text."""
    lines = [line.partition(sign)[2] if sign in line else "" for line in text.splitlines()]
    yield _CODE_SPAN.sub(" x ", "\n".join(lines))


def of_shell(text: str) -> Iterator[str]:
    comments = [line.strip("# ") if line.strip().startswith("#") else "" for line in text.splitlines()]
    yield "\n".join(comments)
    yield from (re.sub(r"\$\{?\w+", "x", string) for string in re.findall(r'"([^"]*)"', text))
    yield from re.findall(r"<<'END'\n(.*?)\nEND", text, re.DOTALL)


def of_python(text: str, *, strings: bool) -> Iterator[str]:
    """Comments, docstrings and names of tests; with ``strings`` every other string too."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name.replace("_", " ")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and strings:
            # A single word is a name: ``nobody`` is an account.
            yield "" if node.value.isidentifier() else _CODE_SPAN.sub(" x ", node.value)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and not strings:
            yield _CODE_SPAN.sub(" x ", ast.get_docstring(node) or "")
    lines = [""] * (text.count("\n") + 2)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0]] = token.string.lstrip("#: ")
    yield _CODE_SPAN.sub(" x ", "\n".join(lines))


def texts(path: Path) -> Iterator[str]:
    """The texts of one file."""
    content = path.read_text("utf-8")
    if path.suffix in (".md", ".in"):
        yield from of_markdown(content)
    elif path.suffix == ".py":
        yield from of_python(content, strings="tests" not in path.relative_to(ROOT).parts)
    elif path.suffix == ".sh":
        yield from of_shell(content)
    elif path.suffix == ".example":
        yield from of_comments(content, "%")
    elif path.suffix == ".json":
        yield from re.findall(r'"(?:title|description)": "([^"]*)"', content)
    else:
        yield content


def pages() -> list[Path]:
    """The pages for users, operators and contributors."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "ejabberd.cfg.example"]
    files += [
        *(ROOT / "scripts").glob("*.sh"),
        *(path for path in (ROOT / "deploy").iterdir() if path.is_file()),
    ]
    return sorted([*files, ROOT / "tests/rules/rules.txt", ROOT / "tests/bench/README.md"])


def in_folder(name: str) -> list[str]:
    """``file: expression`` for each one in the Python files of a folder."""
    return [
        f"{path.relative_to(ROOT)}: {hit}"
        for path in sorted((ROOT / name).rglob("*.py"))
        for text in texts(path)
        for hit in found(text)
    ]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_keeps_to_the_words(page: Path) -> None:
    assert [hit for text in texts(page) for hit in found(text)] == []


@pytest.mark.parametrize("folder", ["wsgw", "tests"])
def test_the_code_keeps_to_the_words(folder: str) -> None:
    assert in_folder(folder) == []


def test_an_expression_is_found_in_a_text_and_not_in_code() -> None:
    assert found("Whoever connects, goes\non.") == ["Whoever", "goes on"]
    assert found("anything else, or an elsewhere") == []
    assert [*of_markdown("`whoever`\n\n    nobody\n```\nmend\n```\n")] == [" x \n\n\n\n"]
    source = 'def test_nobody_left():\n    """Whoever."""\n    nobody = 1  # in vain\n'
    assert [hit for text in of_python(source, strings=False) for hit in found(text)] == [
        "nobody",
        "Whoever",
        "in vain",
    ]
