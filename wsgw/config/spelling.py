"""Finds the known name that is closest to a misspelled one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

#: Names of up to this many letters may have one typing error, longer ones two.
_SHORT = 5
_TOO_LONG = 60


def nearest(name: str, known: Sequence[str]) -> str:
    """``; did you mean X?`` if X, one of ``known``, is close to ``name``; otherwise empty."""
    close = (
        near(name, known)
        or near(name.lower(), known)
        or next(iter(get_close_matches(name[:_TOO_LONG], known, 1)), None)
    )
    return f"; did you mean {close}?" if close else ""


def near(name: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that differs from ``name`` by one typing error, or two in a longer name."""
    if len(name) > _TOO_LONG:
        return None
    allowed = 1 if len(name) <= _SHORT else 2
    candidates = (one for one in known if abs(len(one) - len(name)) <= allowed)
    found = min(((distance(name, one), one) for one in candidates), default=(allowed + 1, ""))
    return found[1] if found[0] <= allowed else None


def distance(first: str, second: str) -> int:
    """How many letters to add, remove, change or swap with the next one to turn ``first`` into ``second``."""
    before: list[int] = []
    last = list(range(len(second) + 1))
    for i, letter in enumerate(first, 1):
        row = [i]
        for j, other in enumerate(second, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == second[j - 2] and first[i - 2] == other:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
