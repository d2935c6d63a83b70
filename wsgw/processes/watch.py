"""The descriptors that a parent's loop waits for, each with the function to call when it is readable.

A forked worker inherits all of them, and closes them at once.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable
from typing import Protocol


class Watched(Protocol):
    def fileno(self) -> int: ...

    def close(self) -> object: ...


class Watch:
    """The descriptors of one parent."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._open: list[Watched] = []

    def add(self, watched: Watched, on_readable: Callable[[], None]) -> None:
        """Call ``on_readable`` whenever ``watched`` can be read."""
        self._selector.register(watched, selectors.EVENT_READ, on_readable)
        self._open.append(watched)

    def mute(self, watched: Watched) -> None:
        """Wait for ``watched`` no longer; it stays open."""
        if watched.fileno() in self._selector.get_map():
            self._selector.unregister(watched)

    def close(self, watched: Watched) -> None:
        """Wait for ``watched`` no longer, and close it."""
        self.mute(watched)
        self._open.remove(watched)
        watched.close()

    def wait(self, timeout: float | None) -> None:
        """Wait ``timeout`` seconds at most (None: for ever), then call the functions of what is readable."""
        for key, _ in self._selector.select(timeout):
            key.data()

    def close_all(self) -> None:
        """Close everything, in a process that inherited it."""
        for watched in self._open:
            watched.close()
        self._selector.close()
