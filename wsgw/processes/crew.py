"""The workers of a parent: it forks them, exchanges messages with them, and replaces those that die.

A worker that dies is replaced at once; after several short lives in a row the next one starts after
``PAUSES``, so that a fault at the start costs little processor time. Each worker has a slot, the number of
its column in the shared tables.
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

#: Seconds before a worker is replaced, by the number of its short lives in a row.
PAUSES = (0.0, 0.0, 0.5, 1.0, 2.0, 5.0)
#: Seconds before the next attempt when the system refuses a process.
FORK_PAUSE = 1.0
#: A life below so many seconds is short.
SHORT_LIFE = 10.0
#: A worker must be prepared within so many seconds.
PREPARE_TIMEOUT = 60.0
#: A worker that dies by one of these may have met a fault of the native functions.
CRASHES = frozenset((signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS))
#: The *n*th worker numbers its connections in the log from *n* times this number.
IDS_OF_A_WORKER = 10_000_000


@dataclass
class Member:
    """One worker, for its parent."""

    slot: int
    pid: int
    channel: Channel
    #: When it was forked (monotonic).
    started: float
    #: The same in seconds since the epoch.
    started_at: float
    #: It has its settings and can serve.
    prepared: bool = False
    #: It uses the native functions.
    native: bool = False
    #: It accepts no more connections, and is not replaced when it ends.
    leaving: bool = False


@dataclass
class _Slot:
    restarts: int = 0
    short_lives: int = 0
    #: When to fork again, monotonic.
    due: float = 0.0
    #: A worker that used the native functions has crashed: the next ones use none.
    native_disabled: bool = False


@dataclass
class Crew:
    """All workers of a parent. A new worker gets the present ``settings`` and ``sockets``."""

    settings: Settings
    sockets: Mapping[Place, socket.socket]
    account: pwd.struct_passwd | None
    shared: Shared
    watch: Watch
    #: Called with each message of a worker.
    on_message: Callable[[Member, Message], None]
    #: Called with the slot of a worker that has ended.
    on_worker_ended: Callable[[int], None]
    #: The number of workers wanted; 0 starts no more.
    size: int = 0
    #: The workers that have not ended yet, by slot.
    members: dict[int, Member] = field(default_factory=dict)
    #: The ports are open: from now on a worker that dies is replaced.
    begun: bool = False
    #: The system has refused a process at least once.
    fork_failed: bool = False
    _slots: dict[int, _Slot] = field(default_factory=dict)
    _pulse: Pulse = field(init=False)
    _forked: int = 0

    def __post_init__(self) -> None:
        self._pulse = Pulse(self.shared.beats)

    @property
    def serving(self) -> list[Member]:
        """The workers that do not leave."""
        return [member for member in self.members.values() if not member.leaving]

    @property
    def restarts(self) -> int:
        """How many workers have died and were replaced."""
        return sum(slot.restarts for slot in self._slots.values())

    def described(self) -> list[dict[str, object]]:
        """All workers in the form of ``workers`` in the parent's document (``ops.state``)."""
        return [
            {
                "slot": member.slot,
                "pid": member.pid,
                "started_at": member.started_at,
                "restarts": self._slots[member.slot].restarts,
                "leaving": member.leaving,
                "native_disabled": self._slots[member.slot].native_disabled,
            }
            for member in self.members.values()
        ]

    # -- starting ------------------------------------------------------------------------------

    def fill(self) -> float:
        """Start the missing workers; returns when to call it again (monotonic; ``math.inf``: never)."""
        now, later = time.monotonic(), []
        free = [slot for slot in range(self.shared.table.slots) if slot not in self.members]
        for slot in free[: max(0, self.size - len(self.serving))]:  # leaving workers keep their slots
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
        self.watch.add(parents, lambda: self.read_messages(member))

    def _fork(self, slot: int) -> tuple[int, Channel]:
        """Fork a worker; returns its process id and the parent's end of the channel. Raises OSError."""
        parents, workers = Channel.pair()
        self._forked += 1
        try:
            with _signals_blocked():
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
        """Run the worker in the forked process; does not return."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in IGNORED_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            self.watch.close_all()
            parts = (channel, self.settings, self.sockets, self.account, self.shared)
            status = work(*parts, slot, first_id, native=not self._slots[slot].native_disabled)
        except Exception:  # the thread that writes the log could not be started, for example
            log_directly(self.settings.config.log_level, self.settings.config.log_format)
            log.exception("fault in the gateway")
        finally:
            os._exit(status)

    # -- messages from and to workers ------------------------------------------------------------

    def read_messages(self, member: Member) -> None:
        """Handle all messages that a worker has sent; ``reap`` handles its end."""
        try:
            while (message := member.channel.receive()) is not None:
                self.on_message(member, message)
        except EOFError:
            self.watch.mute(member.channel)

    def send(
        self, members: Sequence[Member], word: str, body: bytes = b"", sockets: Sequence[socket.socket] = ()
    ) -> None:
        """Send a message to ``members``; kill a worker that does not read its messages.

        Raises OSError and ValueError as ``Channel.send`` does; no worker has got the message then.
        """
        for member in members:
            if not member.channel.send(word, body, sockets):
                log.error("worker %d (process %d) reads no commands: killing it", member.slot, member.pid)
                self.kill(member)

    def resize(self, size: int) -> None:
        """Set the number of workers wanted; surplus workers serve their sessions to the end."""
        self.size = size
        self.end(sorted(self.serving, key=lambda member: member.slot)[size:], RETIRE)

    def end(self, members: Sequence[Member], word: str = DRAIN) -> None:
        """Mark workers as leaving, and send them ``word``: ``RETIRE``, ``DRAIN`` or ``STOP``."""
        for member in members:
            member.leaving = True
        self.send(members, word)

    def kill_hung_workers(self) -> None:
        """Kill workers whose loop has stopped or has not begun in time; call it every ``LOOK_EVERY``."""
        started = {slot: each for slot, each in self.members.items() if each.prepared and self.begun}
        hanging = [started[slot] for slot in self._pulse.stopped(started)]
        expired = time.monotonic() - PREPARE_TIMEOUT
        hanging += [each for each in self.members.values() if not each.prepared and each.started < expired]
        for member in hanging:
            log.error("worker %d (process %d) hangs: killing it", member.slot, member.pid)
            self.kill(member)

    def kill(self, member: Member) -> None:
        """Kill a worker at once, with all its sessions."""
        os.kill(member.pid, signal.SIGKILL)

    # -- the end of a worker ---------------------------------------------------------------------

    def reap(self) -> list[Member]:
        """Remove the workers that have ended; returns those of them that were not leaving."""
        lost = []
        for member in list(self.members.values()):
            pid, status = os.waitpid(member.pid, os.WNOHANG)
            if not pid:
                continue
            self.read_messages(member)
            connections = self.shared.table.connections_of(member.slot)
            self._forget(member)
            self._record_end(member, os.waitstatus_to_exitcode(status), connections)
            if not member.leaving:
                lost.append(member)
        return lost

    def _forget(self, member: Member) -> None:
        self.watch.close(member.channel)
        del self.members[member.slot]
        self.shared.beats.beat(member.slot, 0.0)
        self.shared.table.worker_died(member.slot)
        self.on_worker_ended(member.slot)

    def _record_end(self, member: Member, code: int, connections: int) -> None:
        """``code``: the exit status, or the negative number of the signal that killed it."""
        cause = _cause(code)
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
        if member.native and -code in CRASHES:
            slot.native_disabled = True
            log.error(
                "worker %d runs without native functions until wsgw is upgraded or restarted", member.slot
            )


def _cause(code: int) -> str:
    """Why a process ended, from its exit code; empty if it exited with 0."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit status {code}" if code else ""


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block signals during a fork: the child would write them to the wakeup socket of the parent's loop."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, (*IGNORED_SIGNALS, signal.SIGCHLD))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
