"""The workers of a parent: forked, heard, replaced when they die.

A worker that dies is replaced at once; one that dies again soon after ``PAUSES``, so that a fault at
the start costs little. Each has a slot, its column in what the workers share.
"""

from __future__ import annotations

import logging
import math
import os
import pwd
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from wsgw.capacity.accept_share import Pulse
from wsgw.gateway import Shared
from wsgw.net.listen_sockets import Place
from wsgw.ops.logs import log_directly
from wsgw.processes.control import Channel, Message
from wsgw.processes.settings import Settings
from wsgw.processes.watch import Watch
from wsgw.processes.worker import DRAIN, IGNORED_SIGNALS, RETIRE, work

log = logging.getLogger("wsgw.processes.crew")

#: Seconds before the next attempt, after so many short lives in a row.
PAUSES = (0.0, 0.0, 0.5, 1.0, 2.0, 5.0)
#: Before another attempt when the system has no process for us, in seconds.
FORK_PAUSE = 1.0
#: A life longer than this was no failed start, in seconds.
SHORT_LIFE = 10.0
#: A worker must be prepared within so many seconds.
START_TIMEOUT = 60.0
#: Each worker numbers its connections from another multiple of this on, for the log.
IDS_OF_A_WORKER = 10_000_000


@dataclass
class Member:
    """A worker as its parent sees it."""

    slot: int
    pid: int
    channel: Channel
    #: Monotonic; and seconds since the epoch.
    started: float
    started_at: float
    #: It has taken its settings and can serve.
    prepared: bool = False
    #: It takes no more connections, and is not replaced.
    leaving: bool = False


@dataclass
class _Slot:
    restarts: int = 0
    short_lives: int = 0
    #: When to fork again, monotonic.
    due: float = 0.0


@dataclass
class Crew:
    """All workers of a parent. ``settings`` and ``sockets`` are what new ones get."""

    settings: Settings
    sockets: Mapping[Place, socket.socket]
    account: pwd.struct_passwd | None
    shared: Shared
    watch: Watch
    #: Called with what a worker says.
    heard: Callable[[Member, Message], None]
    #: Called with the slot of one that has ended.
    ended: Callable[[int], None]
    #: How many workers are wanted; 0 when no more are to be started.
    size: int = 0
    members: dict[int, Member] = field(default_factory=dict)
    #: The ports are open: from now on a worker that dies is replaced.
    begun: bool = False
    #: The system did not give us a process, once at least.
    fork_failed: bool = False
    _slots: dict[int, _Slot] = field(default_factory=dict)
    _pulse: Pulse = field(init=False)
    _forked: int = 0

    def __post_init__(self) -> None:
        self._pulse = Pulse(self.shared.beats)

    @property
    def serving(self) -> list[Member]:
        """Those that are to go on."""
        return [member for member in self.members.values() if not member.leaving]

    @property
    def restarts(self) -> int:
        """How often a worker was lost."""
        return sum(slot.restarts for slot in self._slots.values())

    def described(self) -> list[dict[str, object]]:
        """All workers, as ``ops.state`` has them."""
        return [
            {
                "slot": member.slot,
                "pid": member.pid,
                "started_at": member.started_at,
                "restarts": self._slots[member.slot].restarts,
                "leaving": member.leaving,
            }
            for member in self.members.values()
        ]

    # -- starting ------------------------------------------------------------------------------

    def fill(self) -> float:
        """Start the workers that are missing; returns when to look again (monotonic; ``math.inf``: never)."""
        now, later = time.monotonic(), []
        free = [slot for slot in range(self.shared.table.slots) if slot not in self.members]
        for slot in free[: max(0, self.size - len(self.serving))]:  # those that leave may have the rest
            record = self._slots.setdefault(slot, _Slot())
            if record.due <= now:
                self._start(slot)
            if slot not in self.members:
                later.append(record.due)
        return min(later, default=math.inf)

    def _start(self, slot: int) -> None:
        self.shared.beats.use_slot(slot)
        try:
            pid, parents = self._fork(slot)
        except OSError as error:
            self.fork_failed = True
            if self.begun:
                log.error(
                    "no process for worker %d: %s; next attempt in %g s", slot, error.strerror, FORK_PAUSE
                )
            else:
                log.error("no process for worker %d: %s", slot, error.strerror)
            self._slots[slot].due = time.monotonic() + FORK_PAUSE
            return
        member = Member(slot, pid, parents, time.monotonic(), time.time())
        self.members[slot] = member
        self.watch.add(parents, lambda: self.listen_to(member))

    def _fork(self, slot: int) -> tuple[int, Channel]:
        """A new process and the channel to it. Raises OSError."""
        parents, workers = Channel.pair()
        self._forked += 1
        try:
            with _signals_held():
                pid = os.fork()
                if not pid:
                    parents.close()
                    self._live(workers, slot, (self._forked - 1) * IDS_OF_A_WORKER + 1)
        except OSError:
            parents.close()
            raise
        finally:
            workers.close()
        return pid, parents

    def _live(self, channel: Channel, slot: int, first_id: int) -> None:
        """The child's part; does not return."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in IGNORED_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            self.watch.close_all()
            parts = (channel, self.settings, self.sockets, self.account, self.shared)
            status = work(*parts, slot, first_id)
        except Exception:  # before it could log by a thread of its own: there is none to be had, say
            log_directly(self.settings.config.log_level, self.settings.config.log_format)
            log.exception("fault in the gateway")
        finally:
            os._exit(status)

    # -- hearing, and being told -----------------------------------------------------------------

    def listen_to(self, member: Member) -> None:
        """Take what a worker says; its end is seen when it is waited for."""
        try:
            while (message := member.channel.receive()) is not None:
                self.heard(member, message)
        except EOFError:
            self.watch.mute(member.channel)

    def tell(
        self, members: Sequence[Member], word: str, body: bytes = b"", sockets: Sequence[socket.socket] = ()
    ) -> None:
        """Tell workers; one that does not listen any more is killed, and replaced.

        Raises OSError and ValueError, as ``Channel.send`` does, and has told none of them then.
        """
        for member in members:
            if not member.channel.send(word, body, sockets):
                log.error("worker %d (process %d) does not listen: killing it", member.slot, member.pid)
                self.kill(member)

    def resize(self, size: int) -> None:
        """Want so many workers; those too many serve the sessions they have to their end."""
        self.size = size
        self.dismiss(sorted(self.serving, key=lambda member: member.slot)[size:], RETIRE)

    def dismiss(self, members: Sequence[Member], word: str = DRAIN) -> None:
        """Let workers go: ``RETIRE`` or ``DRAIN``."""
        for member in members:
            member.leaving = True
        self.tell(members, word)

    def kill_the_hanging(self) -> None:
        """End workers whose loop has stopped or does not begin; call it every ``LOOK_EVERY``."""
        started = {slot: each for slot, each in self.members.items() if each.prepared and self.begun}
        hanging = [started[slot] for slot in self._pulse.stopped(started)]
        expired = time.monotonic() - START_TIMEOUT
        hanging += [each for each in self.members.values() if not each.prepared and each.started < expired]
        for member in hanging:
            log.error("worker %d (process %d) hangs: killing it", member.slot, member.pid)
            self.kill(member)

    def kill(self, member: Member) -> None:
        """End a worker at once."""
        os.kill(member.pid, signal.SIGKILL)

    # -- the end of a worker ---------------------------------------------------------------------

    def reap(self) -> list[Member]:
        """Take leave of the workers that have ended; returns those that should not have."""
        lost = []
        for member in list(self.members.values()):
            pid, status = os.waitpid(member.pid, os.WNOHANG)
            if not pid:
                continue
            self.listen_to(member)
            connections = self.shared.table.connections_of(member.slot)
            self._forget(member)
            self._note_end(member, _cause(status), connections)
            if not member.leaving:
                lost.append(member)
        return lost

    def _forget(self, member: Member) -> None:
        self.watch.close(member.channel)
        del self.members[member.slot]
        self.shared.beats.beat(member.slot, 0.0)
        self.shared.table.worker_died(member.slot)
        self.ended(member.slot)

    def _note_end(self, member: Member, cause: str, connections: int) -> None:
        if member.leaving or not self.begun:
            if cause:
                log.error("worker %d (process %d) ended: %s", member.slot, member.pid, cause)
            return
        now = time.monotonic()
        slot = self._slots[member.slot]
        slot.restarts += 1
        slot.short_lives = slot.short_lives + 1 if now - member.started < SHORT_LIFE else 0
        pause = PAUSES[min(slot.short_lives, len(PAUSES) - 1)]
        slot.due = now + pause
        log.error(
            "worker %d (process %d) ended: %s; %d connections are lost, it is replaced %s",
            *(member.slot, member.pid, cause or "without a request to stop", connections),
            f"in {pause:g} s" if pause else "now",
        )


def _cause(status: int) -> str:
    """Why a process ended, out of its wait status; empty if it was in order."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit status {code}" if code else ""


@contextmanager
def _signals_held() -> Iterator[None]:
    """No signal comes in between: a child that is not set up yet would pass it to its parent's loop."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, (*IGNORED_SIGNALS, signal.SIGCHLD))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
