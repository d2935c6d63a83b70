"""Puts off what every session does to the end of a turn of the event loop, to be done together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Loop(Protocol):
    """What is used of gevent's event loop."""

    @property
    def pendingcnt(self) -> int:
        """Events of this turn that were not handled yet."""

    def run_callback(self, func: Callable[[], None], /) -> object:
        """Call ``func`` when the events of this turn are handled."""


class Hub(Protocol):
    """Who owns a loop."""

    @property
    def loop(self) -> Loop:
        """The loop."""


class LoopTurn:
    """What one loop does when it has worked off the events of a turn, before it waits for more.

    To be called back costs 3 µs: what the turn's last event asks for is not put off.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._last_steps: list[Callable[[], None]] = []

    def puts_off(self, step: Callable[[], None]) -> bool:
        """Do ``step``, which must not raise, when no event of this turn is left.

        False if none is left now: ``step`` is not done, nothing is to be waited for.
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
    """Return the turns of the hub's loop, always the same; the hub keeps them, one for each thread."""
    kept = vars(hub)
    turn: LoopTurn | None = kept.get("wsgw_turn")
    if turn is None:
        turn = kept["wsgw_turn"] = LoopTurn(hub.loop)
    return turn
