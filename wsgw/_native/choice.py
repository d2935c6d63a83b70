"""Decides once for each process whether it uses the extension. ``WSGW_NATIVE=0`` forces pure Python.

Objects that serve a session ask ``core()`` when they are made, never a module when it is imported: the parent
imports all modules before it forks, and a worker may start with the native functions turned off.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from wsgw._native.functions import Functions
from wsgw._native.sources import source_files, sources_hash

VARIABLE = "WSGW_NATIVE"


@dataclass(frozen=True)
class Choice:
    """The extension, or the reason why this process runs in pure Python, as part of a sentence."""

    core: Functions | None
    reason: str = ""

    def __str__(self) -> str:
        return "native functions" if self.core else f"pure Python ({self.reason})"


def choose() -> Choice:
    """Load the extension if the environment allows it and if it was built from the present sources."""
    if os.environ.get(VARIABLE) == "0":
        return Choice(None, f"{VARIABLE}=0")
    try:
        core = importlib.import_module("wsgw._native._core")
    except ModuleNotFoundError:
        return Choice(None, f"not built; {_advice()}")
    except ImportError as error:
        return Choice(None, f"the extension cannot be loaded: {error}; {_advice()}")
    if getattr(core, "SOURCES_HASH", None) != sources_hash():
        return Choice(None, f"the extension was built from other sources; {_advice()}")
    return Choice(cast("Functions", core))


def _advice() -> str:
    from wsgw._native import build  # only here: a gateway that needs no advice needs none of its modules

    if lacking := build.missing():
        return f"missing: {lacking}"
    return "scripts/build.sh builds it" if source_files() else "install wsgw again"


_choice = choose()
#: Called after the choice has changed: they empty the caches of objects that use the extension.
when_changed: list[Callable[[], None]] = []


def choice() -> Choice:
    """What this process uses at present."""
    return _choice


def core() -> Functions | None:
    """The extension, None in pure Python."""
    return _choice.core


def turn_off(reason: str) -> None:
    """Use pure Python from now on, in this process; ``reason`` is part of a sentence."""
    global _choice
    _choice = Choice(None, reason)
    for empty in when_changed:
        empty()


if __name__ == "__main__":
    print(_choice)
