"""README.ru.md translates README.md as it is now."""

from __future__ import annotations

import re

from tests.docs.blocks import blocks_of
from tests.docs.translation import ORIGINAL, TRANSLATION, hashes, sections, translated


def test_every_section_is_translated_as_it_is_now() -> None:
    """``python -m tests.docs.translation`` names those that are not."""
    assert translated() == list(enumerate(hashes()))


def test_a_changed_section_is_found() -> None:
    text = "one\n\n## Two\n\n```sh\n## no heading\n```\n\n## Three\n"
    assert sections(text) == ["one", "## Two\n\n```sh\n## no heading\n```", "## Three"]


def test_commands_and_links_are_those_of_the_original() -> None:
    assert [block.text for block in blocks_of(TRANSLATION) if block.language != "text"] == [
        block.text for block in blocks_of(ORIGINAL) if block.language != "text"
    ]
    links = [
        set(re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8"))) - {ORIGINAL.name, TRANSLATION.name}
        for page in (ORIGINAL, TRANSLATION)
    ]
    assert links[0] == links[1]
