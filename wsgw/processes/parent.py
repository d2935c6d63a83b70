"""The parent: opens the sockets, keeps the workers going, and does what signals say.

    SIGTERM, SIGINT   drain and stop; a second one ends at once
    SIGHUP            read the configuration again; if it is wrong, nothing changes
    SIGUSR2           start another parent, with the code on the disk, that takes the sockets over;
                      this one then serves the sessions it has to their end

A SIGHUP that comes during an upgrade is for the parent that serves after it; the older one hands it on.
After an upgrade the two parents keep a channel: a stop of the newer one stops the older one too.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Callable

from wsgw import __version__
from wsgw.capacity.accept_share import LOOK_EVERY
from wsgw.config.options import MAX_WORKERS
from wsgw.config.source import Source
from wsgw.errors import ConfigError
from wsgw.gateway import Shared
from wsgw.net.listen_sockets import bind_sockets, listen
from wsgw.ops.logs import change_logging
from wsgw.ops.metrics_files import MetricsFiles
from wsgw.processes.control import Message
from wsgw.processes.crew import Crew, Member
from wsgw.processes.inherited import Inherited, wanted_sockets
from wsgw.processes.privileges import worker_account
from wsgw.processes.reload import Reloader
from wsgw.processes.settings import Settings
from wsgw.processes.signals import Signals
from wsgw.processes.succession import Succession
from wsgw.processes.systemd import Watchdog, notify
from wsgw.processes.watch import Watch
from wsgw.processes.worker import DRAIN, FAILED, PREPARED, SERVE, STOP, problems_of

log = logging.getLogger("wsgw.processes.parent")

#: What workers get beyond ``drain_timeout`` to end, and to end at once, in seconds.
DRAIN_GRACE, STOP_GRACE = 5.0, 1.0
STOPPED, FAILURE = 0, 1


def run(source: Source, metrics: MetricsFiles, *, offline: bool = False) -> int:
    """Run a gateway until a signal ends it; returns the exit status. Raises ConfigError if it cannot begin.

    ``source`` is read now and at every reload. With ``offline`` no XMPP server is asked whether it is usable.
    """
    signals = Signals(SIGNALS)  # those that come from now on are obeyed, as soon as the loop turns
    inherited = Inherited.find(os.environ)
    settings = Settings.read(source)
    change_logging(settings.config.log_level, settings.config.log_format)
    return Parent(settings, source, inherited, metrics, signals, offline=offline).run()


class Parent:
    """The parent's loop, and the life of its workers from their first to their last."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        inherited: Inherited,
        metrics: MetricsFiles,
        signals: Signals,
        *,
        offline: bool,
    ) -> None:
        """Binds the sockets, and starts no process yet. Raises ConfigError."""
        config, activated = settings.config, inherited.activated
        account = worker_account(config.user)
        sockets = bind_sockets(config, wanted_sockets(config, inherited.handed_over, activated))
        inherited.close_unused(sockets)
        metrics.give_to(account)
        shared = Shared.make(config, MAX_WORKERS, metrics.path, inherited.tables)
        self._signals = signals
        self._watch = Watch()
        self._watch.add(signals, self._signalled)
        self._crew = Crew(settings, sockets, account, shared, self._watch, self._heard, metrics.worker_died)
        self._reloader = Reloader(source, self._crew, activated, metrics, offline=offline)
        self._succession = Succession(
            self._crew, self._watch, activated, inherited.predecessor, self._settled, self._stop
        )
        self._started_at = time.time()
        #: Set while the workers are being ended: when to kill those that are left (monotonic).
        self._deadline = math.inf
        self._draining = False
        self._status = STOPPED
        self._failure: ConfigError | None = None
        #: A reload is wanted as soon as this parent serves, or knows which one does.
        self._reload_wanted = False
        #: When to look for workers that hang (monotonic).
        self._look_at = time.monotonic() + LOOK_EVERY
        self._watchdog = Watchdog(os.environ)

    def run(self) -> int:
        """Serve until a signal ends it; returns the exit status. Raises ConfigError if it cannot be begun."""
        self._crew.resize(self._crew.settings.config.workers)
        while self._crew.size or self._crew.members or self._succession.has_predecessor:
            self._turn()
        if self._failure is not None:
            raise self._failure
        return self._status

    # -- the loop --------------------------------------------------------------------------------

    def _turn(self) -> None:
        self._publish()
        # A parent that has handed over, or has not taken over yet, must not speak for the other one.
        self._watchdog.tell(in_charge=self._succession.in_charge)
        self._watch.wait(self._pause())
        lost = self._crew.reap()
        if (lost or self._crew.fork_failed) and not self._crew.begun and self._deadline == math.inf:
            log.critical("the workers cannot start")
            self._status = FAILURE
            self._end(STOP, STOP_GRACE)
        self._succession.look()
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._crew.kill_the_hanging()
        if now >= self._deadline:
            self._kill_the_rest()

    def _pause(self) -> float:
        """Seconds until something is to be done by the clock; starts workers that are missing."""
        moments = (self._deadline, self._look_at, self._watchdog.due, self._succession.due)
        return max(0.0, min(self._crew.fill(), *moments) - time.monotonic())

    def _publish(self) -> None:
        """Let the workers know what a status page may show."""
        self._crew.shared.state.publish(
            {
                "pid": os.getpid(),
                "started_at": self._started_at,
                "version": __version__,
                "source": self._crew.settings.config.source,
                "last_reload": self._reloader.last,
                "workers": self._crew.described(),
                "restarts": self._crew.restarts,
                "draining": self._draining,
                "retiring": self._succession.retired,
            }
        )

    # -- signals -----------------------------------------------------------------------------------

    def _signalled(self) -> None:
        """Do what signals say; a fault of ours in doing so must not cost the sessions."""
        for number in self._signals.receive():
            try:
                SIGNALS[number](self)
            except Exception:
                log.exception("fault in the gateway: %s", number.name)

    def reload(self) -> None:
        """Read the configuration again, or let the parent do so that serves, once that is known."""
        self._reload_wanted = not self._crew.begun or self._succession.is_upgrading
        if self._reload_wanted or self._draining:
            return
        if self._succession.retired:
            self._succession.signal_successor(signal.SIGHUP)
        else:
            self._reloader.reload()

    def _settled(self) -> None:
        if self._reload_wanted:
            self.reload()

    def upgrade(self) -> None:
        """Start the parent that is to take over."""
        if self._draining or not self._succession.may_upgrade:
            log.warning("no upgrade now")
        else:
            self._succession.upgrade()

    def stop(self) -> None:
        """Drain and stop; the second time, end at once."""
        self._stop(at_once=False)

    # -- the workers' words ------------------------------------------------------------------------

    def _heard(self, member: Member, message: Message) -> None:
        if message.word == PREPARED:
            member.prepared = True
            if self._crew.begun:
                self._crew.tell([member], SERVE)
                log.info("worker %d (process %d) serves", member.slot, member.pid)
            elif self._crew.size and all(each.prepared for each in self._crew.members.values()):
                self._begin()
        elif message.word == FAILED and not self._crew.begun:
            self._fail(ConfigError(problems_of(message.body)))
        elif message.word == FAILED:
            for problem in problems_of(message.body):
                log.error("worker %d keeps its previous settings: %s", member.slot, problem)

    def _begin(self) -> None:
        """All workers are prepared: now the ports may be seen."""
        crew = self._crew
        try:
            listen(crew.settings.config, crew.sockets)
        except ConfigError as error:
            self._fail(error)
            return
        crew.begun = True
        crew.tell(crew.serving, SERVE)
        self._reloader.announce()
        self._succession.take_over()
        notify("READY=1", f"STATUS=serving with {crew.settings.config.workers} workers")
        self._settled()

    def _fail(self, failure: ConfigError) -> None:
        """``run`` raises ``failure`` when the workers have ended."""
        self._failure = failure
        self._end(STOP, STOP_GRACE)

    # -- stopping ----------------------------------------------------------------------------------

    def _stop(self, at_once: bool) -> None:
        """Drain and stop; if that has begun already, or ``at_once``, end at once."""
        at_once = at_once or self._draining
        self._draining = True
        if at_once:
            self._status = FAILURE
            self._end(STOP, STOP_GRACE)
            return
        log.info("stopping, %d connections", self._crew.shared.table.connections())
        if self._succession.in_charge:
            notify("STOPPING=1")
        self._succession.give_up("this gateway stops")
        self._publish()  # or one worker would still say that the gateway is ready when another does no more
        self._end(DRAIN, self._crew.settings.config.drain_timeout + DRAIN_GRACE)

    def _end(self, word: str, seconds: float) -> None:
        """Let all workers go, and the parent before this one with its own, within so many seconds."""
        self._deadline = time.monotonic() + seconds
        self._crew.size = 0
        self._crew.dismiss(list(self._crew.members.values()), word)
        self._succession.end_predecessor(word)

    def _kill_the_rest(self) -> None:
        for member in self._crew.members.values():
            log.error("worker %d (process %d) does not end: killing it", member.slot, member.pid)
            self._crew.kill(member)
        self._deadline = math.inf
        self._succession.forget_predecessor()


#: What a parent does at each signal.
SIGNALS: dict[signal.Signals, Callable[[Parent], None]] = {
    signal.SIGTERM: Parent.stop,
    signal.SIGINT: Parent.stop,
    signal.SIGHUP: Parent.reload,
    signal.SIGUSR2: Parent.upgrade,
}
