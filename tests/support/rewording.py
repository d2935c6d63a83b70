"""Gives all sentences about endings and refusals other words, in the process that calls ``reword``."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any

from wsgw import errors
from wsgw.errors.causes import CAUSES
from wsgw.opening.proxy_protocol import ProxyProtocolError

#: By class of error: the arguments that are texts.
_WORDS: dict[type[Exception], tuple[int, ...]] = {
    errors.HandshakeRefused: (1,),
    errors.WebSocketViolation: (1,),
    errors.StreamError: (1,),
    ProxyProtocolError: (0,),
}


def other_words(text: str) -> str:
    """Other words than those of ``text``, with the place of a detail; a reworded text stays unchanged."""
    return text if not text or text.startswith("~") else f"~{codecs.encode(text, 'rot13')}"


def reword() -> None:
    """Replace all texts about endings and refusals, for a process that ends with its test."""
    for cause in CAUSES:
        object.__setattr__(cause, "text", other_words(cause.text))
    for kind, positions in _WORDS.items():
        type.__setattr__(kind, "__init__", _reworded(kind.__init__, positions))


def _reworded(make: Callable[..., None], positions: tuple[int, ...]) -> Callable[..., None]:
    def make_reworded(self: Exception, *arguments: Any, **named: Any) -> None:
        make(self, *(other_words(a) if i in positions else a for i, a in enumerate(arguments)), **named)

    return make_reworded
