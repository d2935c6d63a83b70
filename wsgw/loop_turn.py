"""Defers steps of all sessions to the end of a turn of the event loop, where they are done together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Loop(Protocol):
    """The part of gevent's event loop that this module uses."""

    @property
    def pendingcnt(self) -> int:
        """Number of events of this turn that are not handled yet."""

    def run_callback(self, func: Callable[[], None], /) -> object:
        """Call ``func`` after all events of this turn."""


class Hub(Protocol):
    """gevent's hub, which owns a loop."""

    @property
    def loop(self) -> Loop:
        """The event loop of this thread."""


class LoopTurn:
    """The steps that one loop does after all events of a turn, before it waits for more events.

    A callback of the loop costs 3 µs, so that a step of the turn's last event is not deferred.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._last_steps: list[Callable[[], None]] = []

    def defer(self, step: Callable[[], None]) -> bool:
        """Call ``step``, which must not raise, after all events of this turn, and return True.

        Returns False, without a call of ``step``, if no other event of this turn waits: the caller does the
        step at once.
        """
        if not self._last_steps:
            if not self._loop.pendingcnt:
                return False
            self._loop.run_callback(self._end)
        self._last_steps.append(step)
        return True

    def _end(self) -> None:
        steps, self._last_steps = self._last_steps, []
        for step in steps:
            step()


def turn_of(hub: Hub) -> LoopTurn:
    """Return the one ``LoopTurn`` of the hub's loop; the hub keeps it, and each thread has its own hub."""
    kept = vars(hub)
    turn: LoopTurn | None = kept.get("wsgw_turn")
    if turn is None:
        turn = kept["wsgw_turn"] = LoopTurn(hub.loop)
    return turn
