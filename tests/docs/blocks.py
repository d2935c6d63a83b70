"""The code blocks of the pages. The first line of each says what holds it:

```sh run                   test_blocks runs the blocks of a page in their order, in one shell
```sh serve: PORT           the same for a command that listens on PORT until the next one or the end
```sh run-by: FILE          that test runs it
```nginx check              test_blocks checks its syntax
```yaml config              test_blocks reads it as a whole configuration of wsgw
```text output              a program prints it
```sh by-hand: REASON       a person runs it; REASON says why no test does
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.processes import ROOT

#: All pages for users and admins; the others are for developers, or a test writes them.
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")])
_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)$")


class Block(NamedTuple):
    page: str
    #: Of its first line of code.
    line: int
    language: str
    #: The word after the language, without its colon, and the text after it.
    tag: str
    rest: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    lines = page.read_text("utf-8").split("\n")
    name = str(page.relative_to(ROOT))
    numbered = iter(enumerate(lines, 1))
    for number, line in numbered:
        begin = _FENCE.match(line)
        if begin is None:
            continue
        language, _, more = begin["info"].strip().partition(" ")
        tag, _, rest = more.partition(" ")
        code = []
        for _, inner in numbered:
            if inner.strip() == "```":
                break
            code.append(inner.removeprefix(begin["indent"]))
        yield Block(name, number + 1, language, tag.rstrip(":"), rest, "\n".join(code) + "\n")


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def indented_lines(page: Path) -> list[int]:
    """The numbers of the lines that Markdown shows as code without a fence."""
    found: list[int] = []
    is_code = is_listed = False
    fenced, previous = False, ""
    for number, line in enumerate(page.read_text("utf-8").split("\n"), 1):
        if line.strip().startswith("```"):
            fenced = not fenced
        elif line.strip() and not fenced:
            is_listed = bool(re.match(r"[-*]|\d+\.", line)) or (is_listed and line.startswith(" "))
            is_code = line.startswith("    ") and not is_listed and (is_code or not previous.strip())
            if is_code:
                found.append(number)
        previous = line
    return found
