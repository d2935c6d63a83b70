"""Signals as bytes of a socket: each once, in their order, and only those that the parent handles."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator

import pytest

from wsgw.processes.signals import Signals

OBEYED = (signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture
def signals() -> Iterator[Signals]:
    handlers = {number: signal.getsignal(number) for number in (*OBEYED, signal.SIGCHLD)}
    wakeup = signal.set_wakeup_fd(-1)
    signals = Signals(OBEYED)
    yield signals
    signal.set_wakeup_fd(wakeup)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signals.close()


def send(*numbers: signal.Signals) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


def test_each_signal_comes_once_in_their_order(signals: Signals) -> None:
    send(signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2)
    assert signals.receive() == [signal.SIGUSR2, signal.SIGUSR1]


def test_the_end_of_a_child_only_ends_a_wait(signals: Signals) -> None:
    send(signal.SIGCHLD)
    assert select.select([signals], [], [], 5)[0]
    assert signals.receive() == []
