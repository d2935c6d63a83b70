"""The signals of a parent, as bytes of a socket: its loop reads them and acts on them, no handler does."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterable


class Signals:
    """Collects signals from its construction on, until ``receive`` returns them."""

    def __init__(self, obeyed: Iterable[signal.Signals]) -> None:
        """``obeyed``: the signals that ``receive`` returns. SIGCHLD only wakes the loop."""
        self._obeyed = frozenset(obeyed)
        self._wakeup, self._wakeup_end = socket.socketpair()
        self._wakeup.setblocking(False)
        self._wakeup_end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup_end.fileno(), warn_on_full_buffer=False)
        for number in (*self._obeyed, signal.SIGCHLD):
            signal.signal(number, _nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._obeyed)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._wakeup.fileno()

    def receive(self) -> list[signal.Signals]:
        """The signals that have arrived, in their order, each once."""
        numbers = dict.fromkeys(self._wakeup.recv(4096))
        return [signal.Signals(number) for number in numbers if number in self._obeyed]

    def close(self) -> None:
        """Close both ends; later signals are lost."""
        self._wakeup.close()
        self._wakeup_end.close()


def _nothing(number: int, _frame: object) -> None:
    """Do nothing: Python has written the signal to the wakeup descriptor."""
