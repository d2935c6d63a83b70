"""Which requests are answered with a page."""

from __future__ import annotations

import pytest

from wsgw.errors import PageAnswer
from wsgw.errors.refusals import HOST_META
from wsgw.opening.pages import PageRequest, page_answer


class Folder:
    """Answers every request below one folder with what it has been told."""

    def __init__(self, name: str) -> None:
        self.name = name

    def has(self, segments: tuple[str, ...]) -> bool:
        return segments[:1] == (self.name,)

    def answer(self, request: PageRequest) -> PageAnswer:
        tag = ", ".join(request.values("if-none-match"))
        return PageAnswer(HOST_META, 200, f"{self.name} {request.method} {tag}")


PAGES = (Folder("a"), Folder("b"), Folder("a"))


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/a", "a"),
        ("/b/c?d", "b"),
        ("/%61/c", "a"),
        ("http://example.org/a", "a"),
        ("/b/../a", "a"),
        ("/", None),
        ("/c/a", None),
        ("/a%2fc", None),
        ("/a/%00", None),
    ],
)
def test_the_path_chooses_the_pages(target: str, name: str | None) -> None:
    fields = [("IF-None-Match", '"1"'), ("Host", "example.org")]
    found = page_answer(PAGES, "PUT", target, fields)
    assert (found and found.phrase) == (name and f'{name} PUT "1"')


def test_a_listener_without_pages_answers_none() -> None:
    assert page_answer((), "GET", "/a", []) is None
