"""The parent: opens the sockets, keeps the workers going, and does what signals say.

    SIGTERM, SIGINT   drain and stop; a second one ends at once
    SIGHUP            read the configuration again; if it is wrong, nothing changes
    SIGUSR2           start another parent, with the code on the disk, that takes the sockets over;
                      this one then serves the sessions it has to their end

A SIGHUP that comes during an upgrade is for whoever serves after it; the older parent hands it on.
After an upgrade the two parents keep a channel: who stops the newer one stops the older one too.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import selectors
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

from wsgw import __version__
from wsgw.capacity.accept_share import LOOK_EVERY
from wsgw.config.options import MAX_WORKERS
from wsgw.config.source import Source
from wsgw.errors import ConfigError
from wsgw.gateway import Shared, log_start
from wsgw.net.listen_sockets import bind_sockets, listen, open_sockets
from wsgw.ops.logs import change_logging
from wsgw.ops.metrics_files import MetricsFiles
from wsgw.ops.upstream_check import Question, questions
from wsgw.processes.control import Channel, Message
from wsgw.processes.crew import Crew, Member
from wsgw.processes.inherited import Inherited
from wsgw.processes.privileges import worker_account
from wsgw.processes.settings import Settings
from wsgw.processes.systemd import notify, reloading, watchdog_timeout
from wsgw.processes.upgrade import SERVING, Successor
from wsgw.processes.worker import ASK, DRAIN, FAILED, PREPARED, RETIRE, SERVE, SETTINGS, STOP, problems_of

log = logging.getLogger("wsgw.processes.parent")

#: What workers get beyond ``drain_timeout`` to end, and to end at once, in seconds.
DRAIN_GRACE, STOP_GRACE = 5.0, 1.0
STOPPED, FAILURE = 0, 1


class Parent:
    """Runs a gateway; ``run`` returns its exit status."""

    def __init__(self, source: Source, metrics: MetricsFiles, *, offline: bool = False) -> None:
        """``source`` is read at the start and at every reload.

        With ``offline`` the XMPP servers are not asked whether they can be used.
        """
        self._source = source
        self._offline = offline
        #: What they have been asked.
        self._asked: frozenset[Question] = frozenset()
        self._metrics = metrics
        self._started_at = time.time()
        self._last_reload: dict[str, object] | None = None
        self._selector = selectors.DefaultSelector()
        self._wakeup, self._wakeup_end = socket.socketpair()
        self._wakeup.setblocking(False)
        self._wakeup_end.setblocking(False)
        #: Set while the workers are being ended: when to kill those that are left (monotonic).
        self._deadline: float | None = None
        self._draining = False
        self._status = STOPPED
        self._failure: ConfigError | None = None
        #: A reload is wanted as soon as we serve, or know who does.
        self._reload_asked = False
        #: When to look for workers that hang (monotonic).
        self._look_at = time.monotonic() + LOOK_EVERY
        self._watchdog_timeout = watchdog_timeout(os.environ)
        #: When to tell systemd again that this loop turns (monotonic).
        self._tell_watchdog_at = -math.inf if self._watchdog_timeout else math.inf
        self._successor: Successor | None = None
        #: A newer parent has taken over; at ``_drain_at`` (monotonic) we drain.
        self._retired = False
        self._drain_at = math.inf

    def run(self) -> int:
        """Serve until a signal ends it. Raises ConfigError if it cannot be begun."""
        self._catch_signals()  # what comes from now on is heard, if only in the loop
        inherited = Inherited.find(os.environ)
        self._predecessor = inherited.predecessor
        self._activated = inherited.activated
        settings = Settings.read(self._source)
        change_logging(settings.config.log_level, settings.config.log_format)
        account = worker_account(settings.config.user)
        self._sockets = bind_sockets(settings.config, inherited.wanted(settings.config))
        inherited.close_unused(self._sockets)
        self._crew = Crew(
            settings,
            self._sockets,
            account,
            Shared.make(settings.config, MAX_WORKERS, self._metrics.path, inherited.tables),
            self._selector,
            self._heard,
            self._metrics.worker_died,
            [self._wakeup, self._wakeup_end],
        )
        if self._predecessor is not None:
            self._watch(self._predecessor, self._hear_predecessor)
        self._metrics.give_to(account)
        self._crew.resize(settings.config.workers)
        while self._crew.size or self._crew.members or self._predecessor is not None:
            self._turn()
        if self._failure is not None:
            raise self._failure
        return self._status

    # -- the loop --------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        signal.set_wakeup_fd(self._wakeup_end.fileno(), warn_on_full_buffer=False)
        for number in (*_ON_SIGNAL, signal.SIGCHLD):
            signal.signal(number, _nothing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ON_SIGNAL)
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._signalled)

    def _watch(self, channel: Channel, hear: Callable[[], None]) -> None:
        self._selector.register(channel, selectors.EVENT_READ, hear)
        self._crew.parents_own.append(channel)

    def _unwatch(self, channel: Channel) -> None:
        self._selector.unregister(channel)
        self._crew.parents_own.remove(channel)
        channel.close()

    def _turn(self) -> None:
        self._publish()
        self._tell_watchdog()
        moments = [self._crew.fill(), self._deadline, self._drain_at, self._look_at, self._tell_watchdog_at]
        moments.append(self._successor.deadline if self._successor is not None else None)
        soonest = min(moment for moment in moments if moment is not None)
        timeout = max(0.0, soonest - time.monotonic()) if soonest < math.inf else None
        for key, _ in self._selector.select(timeout):
            key.data()
        lost = self._crew.reap()
        if (lost or self._crew.fork_failed) and not self._crew.begun and self._deadline is None:
            log.critical("the workers cannot start")
            self._status = FAILURE
            self._end(STOP, STOP_GRACE)
        if self._successor is not None:
            self._look_after(self._successor)
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._crew.kill_the_hanging()
        if now >= self._drain_at:
            self._stop()
        if self._deadline is not None and now >= self._deadline:
            self._kill_the_rest()

    def _tell_watchdog(self) -> None:
        """Who has handed over, or has not taken over yet, must not speak for the other."""
        now = time.monotonic()
        if self._watchdog_timeout and now >= self._tell_watchdog_at:
            self._tell_watchdog_at = now + self._watchdog_timeout / 2
            if self._in_charge:
                notify("WATCHDOG=1")

    def _kill_the_rest(self) -> None:
        for member in self._crew.members.values():
            log.error("worker %d (process %d) does not end: killing it", member.slot, member.pid)
            self._crew.kill(member)
        self._deadline = None
        if self._predecessor is not None:
            self._forget_predecessor()

    def _signalled(self) -> None:
        for number in dict.fromkeys(self._wakeup.recv(4096)):
            if number in _ON_SIGNAL:
                self._obey(signal.Signals(number))

    def _obey(self, number: signal.Signals) -> None:
        """Do what a signal says; a fault of ours in doing so must not cost the sessions."""
        try:
            _ON_SIGNAL[number](self)
        except Exception:
            log.exception("fault in the gateway: %s", number.name)

    def _heard(self, member: Member, message: Message) -> None:
        if message.word == PREPARED:
            member.prepared = True
            if self._crew.begun:
                self._crew.tell([member], SERVE)
                log.info("worker %d (process %d) serves", member.slot, member.pid)
            elif self._crew.size and all(each.prepared for each in self._crew.members.values()):
                self._begin()
        elif message.word == FAILED and not self._crew.begun:
            self._failure = ConfigError(problems_of(message.body))
            self._end(STOP, STOP_GRACE)
        elif message.word == FAILED:
            for problem in problems_of(message.body):
                log.error("worker %d keeps its previous settings: %s", member.slot, problem)

    def _begin(self) -> None:
        """All workers are prepared: now the ports may be seen."""
        config = self._crew.settings.config
        try:
            listen(config, self._sockets)
        except ConfigError as error:
            self._failure = error
            self._end(STOP, STOP_GRACE)
            return
        self._crew.begun = True
        self._crew.tell(self._crew.serving, SERVE)
        log_start(config)
        self._ask_servers()
        if self._predecessor is not None:
            self._predecessor.send(SERVING)
        notify("READY=1", f"STATUS=serving with {config.workers} workers")
        if self._reload_asked:
            self._reload()

    def _publish(self) -> None:
        """Let the workers know what a status page may show."""
        self._crew.shared.state.publish(
            {
                "pid": os.getpid(),
                "started_at": self._started_at,
                "version": __version__,
                "source": self._crew.settings.config.source,
                "last_reload": self._last_reload,
                "workers": self._crew.described(),
                "restarts": self._crew.restarts,
                "draining": self._draining,
                "retiring": self._retired,
            }
        )

    # -- stopping --------------------------------------------------------------------------------

    @property
    def _in_charge(self) -> bool:
        """Whether what we do is what the gateway does: no other parent serves instead of us."""
        return not self._retired and (self._crew.begun or self._predecessor is None)

    def _stop(self) -> None:
        self._drain_at = math.inf
        if self._draining:
            self._status = FAILURE
            self._end(STOP, STOP_GRACE)
            return
        self._draining = True
        log.info("stopping, %d connections", self._crew.shared.table.connections())
        if self._in_charge:
            notify("STOPPING=1")
        if self._successor is not None:
            self._give_up(self._successor, "this gateway stops")
        self._publish()  # or one worker would still say that we are ready when another does no more
        self._end(DRAIN, self._crew.settings.config.drain_timeout + DRAIN_GRACE)

    def _end(self, word: str, seconds: float) -> None:
        """Let all workers go, and the parent before us with its own, within so many seconds."""
        self._deadline = time.monotonic() + seconds
        self._crew.size = 0
        self._crew.dismiss(list(self._crew.members.values()), word)
        if self._predecessor is None:
            return
        if self._crew.begun:
            self._predecessor.send(word)
        else:  # we have taken nothing over, and it goes on
            self._forget_predecessor()

    # -- new settings ----------------------------------------------------------------------------

    def _reload(self) -> None:
        self._reload_asked = not self._crew.begun or self._successor is not None
        if self._reload_asked or self._draining:
            return
        if self._retired:
            self._master.signal(signal.SIGHUP)
            return
        log.info("reading the configuration again")
        notify("RELOADING=1", reloading())
        problems = self._try_to_reload()
        for problem in problems:
            log.error("%s", problem)
        if problems:
            log.error("the configuration cannot be used: nothing has changed")
        self._last_reload = {"at": time.time(), "ok": not problems, "errors": problems}
        notify("READY=1", f"STATUS={'the new configuration is wrong' if problems else 'serving'}")

    def _try_to_reload(self) -> list[str]:
        """Take new settings, if all of them are right; returns what is wrong with them."""
        try:
            self._take(Settings.read(self._source))
        except ConfigError as error:
            return [str(problem) for problem in error.problems]
        except Exception as error:
            log.exception("fault while reading the configuration")
            return [str(error) or type(error).__name__]
        return []

    def _take(self, settings: Settings) -> None:
        """Go on with ``settings``. Raises ConfigError and others, and nothing has changed then."""
        account = worker_account(settings.config.user)
        held = self._sockets | Inherited(self._sockets, self._activated, None).wanted(settings.config)
        sockets = open_sockets(settings.config, held)
        with ExitStack() as undo:
            for place in sockets.keys() - held.keys():
                undo.enter_context(sockets[place])
            if account != self._crew.account:
                self._metrics.give_to(account)
            new = [place for place in sockets if place not in self._sockets]
            body = pickle.dumps((settings, new))
            self._crew.tell(self._crew.serving, SETTINGS, body, [sockets[place] for place in new])
            undo.pop_all()
        for place in self._sockets.keys() - sockets.keys():
            if self._sockets[place] not in self._activated:
                self._sockets[place].close()
        self._sockets = sockets
        self._crew.account, self._crew.settings, self._crew.sockets = account, settings, sockets
        self._crew.resize(settings.config.workers)
        change_logging(settings.config.log_level, settings.config.log_format)
        log_start(settings.config)
        self._ask_servers()

    def _ask_servers(self) -> None:
        """Let one worker ask the XMPP servers whether they can be used, unless they have been asked so."""
        asked, self._asked = self._asked, frozenset(questions(self._crew.settings.config))
        if not self._offline and not self._asked <= asked:
            self._crew.tell(self._crew.serving[:1], ASK)

    # -- an upgrade: the parent after us ------------------------------------------------------------

    def _upgrade(self) -> None:
        if not self._crew.begun or self._draining or self._retired or self._successor is not None:
            log.warning("no upgrade now")
            return
        if os.getpid() == 1:
            log.error("no upgrade: a container ends with its process 1, which is this one")
            return
        try:
            shared = self._crew.shared
            tables = [shared.table, *(former for former in shared.formers if former.kept)]
            self._successor = Successor(self._sockets, self._activated, tables)
        except (OSError, ValueError) as error:
            log.error("no upgrade: the new gateway cannot be started: %s", error)
            notify(f"STATUS=no upgrade: {error}")
            return
        log.info("upgrade: process %d starts", self._successor.pid)
        notify(f"STATUS=upgrade: process {self._successor.pid} starts")
        self._watch(self._successor.channel, self._hear_successor)

    def _look_after(self, successor: Successor) -> None:
        if successor.ended:
            self._give_up(successor, "the new gateway ended before it served; this one continues")
        elif time.monotonic() >= successor.deadline:
            self._give_up(successor, "the new gateway is not ready in time; this one continues")

    def _give_up(self, successor: Successor, reason: str) -> None:
        log.error("no upgrade: %s", reason)
        notify(f"STATUS=no upgrade: process {successor.pid}: {reason}")
        successor.kill()
        self._unwatch(successor.channel)
        self._successor = None
        if self._reload_asked:
            self._reload()

    def _hear_successor(self) -> None:
        assert self._successor is not None
        try:
            message = self._successor.channel.receive()
        except EOFError:
            return  # its end is seen when it is waited for
        if message is not None and message.word == SERVING:
            self._retire(self._successor)

    def _retire(self, successor: Successor) -> None:
        """It has taken over: serve what we have to its end."""
        log.info("process %d has taken over, %d connections stay here", successor.pid, self._connections)
        notify(f"MAINPID={successor.pid}")
        self._retired = True
        self._drain_at = time.monotonic() + self._crew.settings.config.upgrade_timeout
        self._selector.modify(successor.channel, selectors.EVENT_READ, self._hear_master)
        self._master, self._successor = successor, None
        if self._reload_asked:
            self._reload()
        self._crew.size = 0
        self._crew.dismiss(list(self._crew.members.values()), RETIRE)
        for sock in {*self._sockets.values(), *self._activated}:
            sock.close()

    @property
    def _connections(self) -> int:
        return self._crew.shared.table.connections()

    def _hear_master(self) -> None:
        """The parent after us wants us to end, or is gone; then we go on as long as there are sessions."""
        try:
            message = self._master.channel.receive()
        except EOFError:
            self._unwatch(self._master.channel)
            return
        if message is not None and message.word in (DRAIN, STOP):
            self._draining = self._draining or message.word == STOP
            self._stop()

    # -- the parent before us ---------------------------------------------------------------------

    def _hear_predecessor(self) -> None:
        """It says nothing; its end is the end of its sessions."""
        assert self._predecessor is not None
        try:
            self._predecessor.receive()
        except EOFError:
            self._forget_predecessor()

    def _forget_predecessor(self) -> None:
        assert self._predecessor is not None
        self._unwatch(self._predecessor)
        self._predecessor = None


def _nothing(number: int, _frame: object) -> None:
    """Signals are read from the wakeup descriptor."""


_ON_SIGNAL: dict[signal.Signals, Callable[[Parent], None]] = {
    signal.SIGTERM: Parent._stop,
    signal.SIGINT: Parent._stop,
    signal.SIGHUP: Parent._reload,
    signal.SIGUSR2: Parent._upgrade,
}
