"""The sections of README.md and of its translation README.ru.md.

Above each section of the translation a comment has the hash of the English section that it translates. When
README.md has changed, ``python -m tests.docs.translation`` names the sections to translate again, with the
comments that they then need.
"""

from __future__ import annotations

import re
from hashlib import sha256

from tests.support.processes import ROOT

ORIGINAL, TRANSLATION = ROOT / "README.md", ROOT / "README.ru.md"
_COMMENT = re.compile(r"^<!-- README\.md, section (\d+): ([0-9a-f]{12}) -->$", re.MULTILINE)


def sections(text: str) -> list[str]:
    """The text before the first heading of level 2, and that from each such heading on."""
    fenced = re.sub(r"^```.*?^```", lambda code: code[0].replace("\n#", "\n\0"), text, flags=re.M | re.S)
    parts = re.split(r"^(?=## )", fenced, flags=re.MULTILINE)
    return [part.replace("\n\0", "\n#").strip() for part in parts]


def hashes() -> list[str]:
    """The hash of each section of README.md."""
    return [sha256(part.encode()).hexdigest()[:12] for part in sections(ORIGINAL.read_text("utf-8"))]


def translated() -> list[tuple[int, str]]:
    """The number of each section that README.ru.md translates, and the hash of its original at that time."""
    found = _COMMENT.findall(TRANSLATION.read_text("utf-8"))
    return [(int(number), known) for number, known in found]


def main() -> None:
    known = dict(translated())
    for number, (now, part) in enumerate(zip(hashes(), sections(ORIGINAL.read_text("utf-8")), strict=True)):
        if known.get(number) != now:
            print(f"translate: {part.splitlines()[0]}\n<!-- README.md, section {number}: {now} -->")


if __name__ == "__main__":
    main()
