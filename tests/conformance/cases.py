"""The whole table."""

from __future__ import annotations

import re

from tests.conformance import closing, fragmentation, framing, limits, pings, utf8
from tests.conformance.script import Case

FAMILIES = {
    "1": "Framing: lengths, writes, masks",
    "2": "Pings and pongs",
    "3": "Reserved bits",
    "4": "Reserved opcodes",
    "5": "Fragmentation",
    "6": "UTF-8",
    "7": "Closing handshake",
    "9": "Sizes and limits",
    "10": "Automatic fragmentation",
}


def _order(case: Case) -> list[tuple[int, str]]:
    return [(int(part or 0), word) for part, word in re.findall(r"(\d*)([a-z/]*)", case.id)]


CASES: tuple[Case, ...] = tuple(
    sorted(
        (*framing.CASES, *pings.CASES, *fragmentation.CASES, *utf8.CASES, *closing.CASES, *limits.CASES),
        key=_order,
    )
)
