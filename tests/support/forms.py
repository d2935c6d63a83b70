"""Heavy tests have two forms: a small one for the suite, and the full one that ``scripts/heavy.sh`` runs."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

#: Whether the full form was requested.
FULL = bool(os.environ.get("WSGW_HEAVY"))


def form(small: T, full: T) -> T:
    """The number for the form that runs."""
    return full if FULL else small
