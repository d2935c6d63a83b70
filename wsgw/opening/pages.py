"""The pages that a listener serves next to its WebSocket, as host-meta: which request asks for a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from wsgw.errors import HandshakeRefused, PageAnswer
from wsgw.opening.request import path_segments


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The head of a request for a page: ``segments`` are those of its path, decoded.

    ``fields`` holds (name, value) of each header line in order, both as sent.
    """

    method: str
    target: str
    segments: tuple[str, ...]
    fields: Sequence[tuple[str, str]]

    def values(self, name: str) -> list[str]:
        """Return the values of every header line called ``name`` (lower-case)."""
        return [value for key, value in self.fields if key.lower() == name]


class Pages(Protocol):
    """Pages below one path. A request for them opens no session, and is answered also while wsgw drains."""

    def has(self, segments: tuple[str, ...]) -> bool:
        """Whether requests for the path with these decoded ``segments`` are answered here."""

    def answer(self, request: PageRequest) -> PageAnswer:
        """The answer to a request of such a path, by any method and with any headers."""


def page_answer(
    pages: Iterable[Pages], method: str, target: str, fields: Sequence[tuple[str, str]]
) -> PageAnswer | None:
    """The answer of the first of ``pages`` that has the path of ``target``; None for any other request."""
    try:
        segments = path_segments(target)
    except HandshakeRefused:
        return None
    for one in pages:
        if one.has(segments):
            return one.answer(PageRequest(method, target, segments, fields))
    return None
