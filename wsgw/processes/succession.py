"""Which of several parents serves: the one before this one, this one, or the one after it.

An upgrade starts a newer parent. Until that says that it serves, nothing changes here; if it ends
before, nothing has happened. Then this parent retires: its workers serve the sessions they have to
their end, and it continues to hear the newer one, by which a stop reaches it.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import time
from collections.abc import Callable

from wsgw.processes.control import Channel
from wsgw.processes.crew import Crew
from wsgw.processes.systemd import notify
from wsgw.processes.upgrade import SERVING, Successor
from wsgw.processes.watch import Watch
from wsgw.processes.worker import DRAIN, RETIRE, STOP

log = logging.getLogger("wsgw.processes.parent")


class Succession:
    """A parent's ties to the parent before it and to the parent after it."""

    def __init__(
        self,
        crew: Crew,
        watch: Watch,
        activated: list[socket.socket],
        predecessor: Channel | None,
        settled: Callable[[], None],
        stop: Callable[[bool], None],
    ) -> None:
        """``activated`` are systemd's sockets.

        ``settled`` is called when it is known again which parent serves, ``stop`` when this one is to
        drain, with True to end at once.
        """
        self._crew = crew
        self._watch = watch
        self._activated = activated
        self._predecessor = predecessor
        self._successor: Successor | None = None
        self._settled = settled
        self._stop = stop
        #: The successor serves.
        self.retired = False
        #: When, retired, the workers are to drain (monotonic).
        self._drain_at = math.inf
        if predecessor is not None:
            watch.add(predecessor, self._hear_predecessor)

    @property
    def in_charge(self) -> bool:
        """Whether what this parent does is what the gateway does: no other one serves in its place."""
        return not self.retired and (self._crew.begun or self._predecessor is None)

    @property
    def has_predecessor(self) -> bool:
        """Whether the parent before this one still serves sessions."""
        return self._predecessor is not None

    @property
    def is_upgrading(self) -> bool:
        """Whether a successor has been started that may still fail."""
        return self._successor is not None and not self.retired

    @property
    def may_upgrade(self) -> bool:
        """Whether this parent serves, and has no successor."""
        return self._crew.begun and self._successor is None

    @property
    def due(self) -> float:
        """When to ``look`` again at the latest (monotonic)."""
        if self._successor is None or self.retired:
            return self._drain_at
        return self._successor.deadline

    def look(self) -> None:
        """Give up a successor that does not come to serve; drain when a retired parent's time is over."""
        now = time.monotonic()
        if self._successor is not None and not self.retired:
            if self._successor.ended:
                self.give_up("the new gateway ended before it served; this one continues")
            elif now >= self._successor.deadline:
                self.give_up("the new gateway is not ready in time; this one continues")
        if now >= self._drain_at:
            self._drain_at = math.inf
            self._stop(False)

    # -- the parent after this one -----------------------------------------------------------------

    def upgrade(self) -> None:
        """Start a successor; ``may_upgrade`` is True."""
        if os.getpid() == 1:
            log.error("no upgrade: a container ends with its process 1, which is this one")
            return
        shared = self._crew.shared
        tables = [shared.table, *(former for former in shared.formers if former.kept)]
        try:
            successor = Successor(self._crew.sockets, self._activated, tables)
        except (OSError, ValueError) as error:
            log.error("no upgrade: the new gateway cannot be started: %s", error)
            notify(f"STATUS=no upgrade: {error}")
            return
        log.info("upgrade: process %d starts", successor.pid)
        notify(f"STATUS=upgrade: process {successor.pid} starts")
        self._successor = successor
        self._watch.add(successor.channel, self._hear_successor)

    def give_up(self, reason: str) -> None:
        """End a successor that does not serve yet, if there is one."""
        successor = self._successor
        if successor is None or self.retired:
            return
        log.error("no upgrade: %s", reason)
        notify(f"STATUS=no upgrade: process {successor.pid}: {reason}")
        successor.kill()
        self._watch.close(successor.channel)
        self._successor = None
        self._settled()

    def signal_successor(self, number: signal.Signals) -> None:
        """Hand a signal on to the parent that serves in place of this one."""
        assert self._successor is not None
        self._successor.signal(number)

    def _hear_successor(self) -> None:
        """That it serves; later, that this parent is to end. If it is gone, sessions go on to their end."""
        assert self._successor is not None
        try:
            message = self._successor.channel.receive()
        except EOFError:
            if self.retired:  # otherwise its end is seen when it is waited for
                self._watch.close(self._successor.channel)
            return
        if message is None:
            return
        if not self.retired and message.word == SERVING:
            self._retire(self._successor)
        elif self.retired and message.word in (DRAIN, STOP):
            self._drain_at = math.inf
            self._stop(message.word == STOP)

    def _retire(self, successor: Successor) -> None:
        """It has taken over: serve the sessions of this parent to their end."""
        crew = self._crew
        log.info(
            "process %d has taken over, %d connections stay here",
            *(successor.pid, crew.shared.table.connections()),
        )
        notify(f"MAINPID={successor.pid}")
        self.retired = True
        self._drain_at = time.monotonic() + crew.settings.config.upgrade_timeout
        self._settled()
        crew.size = 0
        crew.dismiss(list(crew.members.values()), RETIRE)
        for sock in {*crew.sockets.values(), *self._activated}:
            sock.close()

    # -- the parent before this one ----------------------------------------------------------------

    def take_over(self) -> None:
        """Tell the parent before this one that this one serves."""
        if self._predecessor is not None:
            self._predecessor.send(SERVING)

    def end_predecessor(self, word: str) -> None:
        """Let the parent before this one end its sessions; it continues if this one has not taken over."""
        if self._predecessor is None:
            return
        if self._crew.begun:
            self._predecessor.send(word)
        else:
            self.forget_predecessor()

    def forget_predecessor(self) -> None:
        """Wait for it no longer."""
        if self._predecessor is not None:
            self._watch.close(self._predecessor)
            self._predecessor = None

    def _hear_predecessor(self) -> None:
        """It says nothing; its end is the end of its sessions."""
        assert self._predecessor is not None
        try:
            self._predecessor.receive()
        except EOFError:
            self.forget_predecessor()
