"""Steps that are deferred to the end of a turn of the event loop."""

from __future__ import annotations

from collections.abc import Callable

import gevent

from wsgw.loop_turn import LoopTurn, turn_of


class Loop:
    """A loop in which ``pendingcnt`` events wait; ``turn`` handles them."""

    def __init__(self, pendingcnt: int) -> None:
        self.pendingcnt = pendingcnt
        self.callbacks: list[Callable[[], None]] = []

    def run_callback(self, func: Callable[[], None], /) -> None:
        self.callbacks.append(func)

    def turn(self) -> None:
        callbacks, self.callbacks, self.pendingcnt = self.callbacks, [], 0
        for callback in callbacks:
            callback()


def test_without_another_event_no_step_is_deferred() -> None:
    steps: list[str] = []
    loop = Loop(0)
    assert not LoopTurn(loop).defer(lambda: steps.append("one"))
    loop.turn()
    assert steps == []


def test_the_steps_of_a_turn_are_called_in_their_order_in_one_callback() -> None:
    steps: list[str] = []
    loop = Loop(1)
    turn = LoopTurn(loop)
    assert turn.defer(lambda: steps.append("one"))
    loop.pendingcnt = 0
    assert turn.defer(lambda: steps.append("two")), "the callback is still to come"
    assert len(loop.callbacks) == 1
    loop.turn()
    assert steps == ["one", "two"]


def test_a_step_may_defer_a_step_to_the_next_turn() -> None:
    steps: list[str] = []
    loop = Loop(1)
    turn = LoopTurn(loop)

    def first() -> None:
        loop.pendingcnt = 1
        turn.defer(lambda: steps.append("second"))

    turn.defer(first)
    loop.turn()
    assert steps == []
    loop.turn()
    assert steps == ["second"]


def test_a_hub_has_one_loop_turn() -> None:
    assert turn_of(gevent.get_hub()) is turn_of(gevent.get_hub())
