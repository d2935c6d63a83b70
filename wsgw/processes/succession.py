"""Which parent serves: the previous one (predecessor), this one, or the next one (successor).

An upgrade starts the successor. This parent serves until the successor reports that it serves; if the
successor ends before, nothing changes. Then this parent retires: its workers serve their sessions to the end,
and it continues to read the messages of the successor, which passes on a stop.
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
    """A parent's channels to its predecessor and to its successor."""

    def __init__(
        self,
        crew: Crew,
        watch: Watch,
        activated: list[socket.socket],
        predecessor: Channel | None,
        settled: Callable[[], None],
        stop: Callable[[bool], None],
    ) -> None:
        """``activated``: systemd's sockets. ``predecessor``: the channel to the predecessor, if any.

        ``settled`` is called when an upgrade has succeeded or failed, so that it is known which parent
        serves. ``stop`` is called when this parent must stop: with False to drain, with True at once.
        """
        self._crew = crew
        self._watch = watch
        self._activated = activated
        self._predecessor = predecessor
        self._successor: Successor | None = None
        self._settled = settled
        self._stop = stop
        #: The successor serves in place of this parent.
        self.retired = False
        #: When the workers of a retired parent must drain (monotonic).
        self._drain_at = math.inf
        if predecessor is not None:
            watch.add(predecessor, self._read_predecessor)

    @property
    def in_charge(self) -> bool:
        """Whether this parent acts for the gateway: no predecessor or successor serves in its place."""
        return not self.retired and (self._crew.begun or self._predecessor is None)

    @property
    def has_predecessor(self) -> bool:
        """Whether the predecessor still serves sessions."""
        return self._predecessor is not None

    @property
    def is_upgrading(self) -> bool:
        """Whether a successor has been started that does not serve yet."""
        return self._successor is not None and not self.retired

    @property
    def may_upgrade(self) -> bool:
        """Whether this parent serves, and has no successor."""
        return self._crew.begun and self._successor is None

    @property
    def due(self) -> float:
        """When to call ``check_deadlines`` at the latest (monotonic)."""
        if self._successor is None or self.retired:
            return self._drain_at
        return self._successor.deadline

    def check_deadlines(self) -> None:
        """Give up a successor that has ended or is late; drain if ``upgrade_timeout`` has passed."""
        now = time.monotonic()
        if self._successor is not None and not self.retired:
            if self._successor.ended:
                self.give_up("the new gateway ended before it served; this one continues")
            elif now >= self._successor.deadline:
                self.give_up("the new gateway is not ready in time; this one continues")
        if now >= self._drain_at:
            self._stop(False)

    def stopping(self) -> None:
        """This parent ends its sessions, so ``upgrade_timeout`` no longer does."""
        self._drain_at = math.inf

    # -- the successor -----------------------------------------------------------------------------

    def upgrade(self) -> None:
        """Start a successor. Call it only if ``may_upgrade``."""
        if os.getpid() == 1:
            log.error("no upgrade: a container ends with its process 1, which is this one")
            return
        shared = self._crew.shared
        tables = [shared.table, *(table for table in shared.previous_tables if table.is_counted)]
        try:
            successor = Successor(self._crew.sockets, self._activated, tables)
        except (OSError, ValueError) as error:
            log.error("no upgrade: the new gateway cannot be started: %s", error)
            notify(f"STATUS=no upgrade: {error}")
            return
        log.info("upgrade: process %d starts", successor.pid)
        notify(f"STATUS=upgrade: process {successor.pid} starts")
        self._successor = successor
        self._watch.add(successor.channel, self._read_successor)

    def give_up(self, reason: str) -> None:
        """Kill the successor if it does not serve yet; ``reason`` goes to the log."""
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
        """Send a signal to the successor, which serves in place of this parent."""
        assert self._successor is not None
        self._successor.signal(number)

    def _read_successor(self) -> None:
        """Handle a message of the successor: it serves, or, later, this parent must drain or stop.

        If the successor ends after this parent has retired, the sessions here continue.
        """
        assert self._successor is not None
        try:
            message = self._successor.channel.receive()
        except EOFError:
            if self.retired:  # otherwise ``check_deadlines`` handles its end
                self._watch.close(self._successor.channel)
            return
        if message is None:
            return
        if not self.retired and message.word == SERVING:
            self._retire(self._successor)
        elif self.retired and message.word in (DRAIN, STOP):
            self._stop(message.word == STOP)

    def _retire(self, successor: Successor) -> None:
        """Serve the sessions of this parent to their end: ``successor`` has taken over."""
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
        crew.end(list(crew.members.values()), RETIRE)
        for sock in {*crew.sockets.values(), *self._activated}:
            sock.close()

    # -- the predecessor ---------------------------------------------------------------------------

    def take_over(self) -> None:
        """Tell the predecessor that this parent serves."""
        if self._predecessor is not None:
            self._predecessor.send(SERVING)

    def end_predecessor(self, word: str) -> None:
        """Send ``word``, ``DRAIN`` or ``STOP``, to the predecessor.

        If this parent has not taken over yet, the predecessor gets no command and continues to serve.
        """
        if self._predecessor is None:
            return
        if self._crew.begun:
            self._predecessor.send(word)
        else:
            self.forget_predecessor()

    def forget_predecessor(self) -> None:
        """Close the channel to the predecessor."""
        if self._predecessor is not None:
            self._watch.close(self._predecessor)
            self._predecessor = None

    def _read_predecessor(self) -> None:
        """Note the predecessor's end, which is the end of its sessions; it sends no messages."""
        assert self._predecessor is not None
        try:
            self._predecessor.receive()
        except EOFError:
            self.forget_predecessor()
