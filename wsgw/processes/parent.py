"""The parent: opens the sockets, keeps the workers running, and acts on signals.

    SIGTERM, SIGINT   drain and stop; a second one ends the gateway at once
    SIGHUP            read the configuration again; if it has an error, nothing changes
    SIGUSR2           start the next parent, with the code on the disk, which takes over the sockets;
                      the workers of this parent serve their sessions to the end

If a SIGHUP arrives during an upgrade, the parent that serves after the upgrade does the reload. After an
upgrade the two parents keep a channel: a stop of the newer one stops the older one too.
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
from wsgw.config.gateway_options import MAX_WORKERS
from wsgw.config.source import Source
from wsgw.errors import ConfigError
from wsgw.gateway import Shared, native_functions
from wsgw.net.listen_sockets import bind_sockets, listen
from wsgw.ops.logs import change_logging
from wsgw.ops.metrics_files import MetricsFiles
from wsgw.processes.control import Message
from wsgw.processes.crew import Crew, Member
from wsgw.processes.inherited import Inherited, wanted_sockets
from wsgw.processes.privileges import worker_account
from wsgw.processes.reload import Reloader
from wsgw.processes.renewal import Renewal
from wsgw.processes.settings import Settings
from wsgw.processes.signals import Signals
from wsgw.processes.succession import Succession
from wsgw.processes.systemd import Watchdog, notify
from wsgw.processes.watch import Watch
from wsgw.processes.worker import DRAIN, FAILED, NATIVE, PREPARED, SERVE, STOP, problems_of

log = logging.getLogger("wsgw.processes.parent")

#: Seconds that workers have to exit: after ``drain_timeout``, and after the command to stop at once.
DRAIN_GRACE, STOP_GRACE = 5.0, 1.0
#: Seconds between two lines about a drain.
PROGRESS_EVERY = 5.0
STOPPED, FAILURE = 0, 1


def run(source: Source, metrics: MetricsFiles, *, offline: bool = False) -> int:
    """Run a gateway until a signal ends it; returns the exit status.

    ``source`` is read now and at every reload. With ``offline`` no XMPP server is checked. Raises ConfigError
    if the gateway cannot be started with these settings.
    """
    signals = Signals(SIGNALS)  # the loop acts on the signals that arrive from now on
    inherited = Inherited.find(os.environ)
    settings = Settings.read(source)
    change_logging(settings.config.log_level, settings.config.log_format)
    return Parent(settings, source, inherited, metrics, signals, offline=offline).run()


class Parent:
    """The parent's loop, from the start of the first worker to the end of the last one."""

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
        """Bind the sockets; start no worker yet. Raises ConfigError."""
        config, activated = settings.config, inherited.activated
        account = worker_account(config.user)
        sockets = bind_sockets(config, wanted_sockets(config, inherited.handed_over, activated))
        inherited.close_unused(sockets)
        metrics.give_to(account)
        shared = Shared.make(config, MAX_WORKERS, metrics.path, inherited.tables)
        self._signals = signals
        self._watch = Watch()
        self._watch.add(signals, self._on_signals)
        self._crew = Crew(
            settings, sockets, account, shared, self._watch, self._on_message, metrics.worker_died
        )
        self._reloader = Reloader(source, self._crew, activated, metrics, offline=offline)
        self._renewal = Renewal(self._crew)
        self._succession = Succession(
            self._crew, self._watch, activated, inherited.predecessor, self._settled, self._stop
        )
        self._started_at = time.time()
        #: When to kill the workers that have not exited by then (monotonic); infinite unless they must exit.
        self._deadline = math.inf
        self._draining = False
        #: When to log how far the drain is (monotonic).
        self._progress_at = math.inf
        self._status = STOPPED
        self._failure: ConfigError | None = None
        #: A reload is to be done as soon as it is known which parent serves.
        self._reload_wanted = False
        #: When to look for workers that hang (monotonic).
        self._look_at = time.monotonic() + LOOK_EVERY
        self._watchdog = Watchdog(os.environ)

    def run(self) -> int:
        """Serve until a signal ends the gateway; returns the exit status.

        Raises ConfigError if a worker cannot use the settings at the start, or if a port is in use by then.
        """
        self._crew.resize(self._crew.settings.config.workers)
        while self._crew.size or self._crew.members or self._succession.has_predecessor:
            self._turn()
        if self._failure is not None:
            raise self._failure
        return self._status

    # -- the loop --------------------------------------------------------------------------------

    def _turn(self) -> None:
        self._publish()
        # systemd watches the parent that serves; no other parent may send its notifications.
        self._watchdog.tell(in_charge=self._succession.in_charge)
        self._watch.wait(self._pause())
        lost = self._crew.reap()
        if (lost or self._crew.fork_failed) and not self._crew.begun and self._deadline == math.inf:
            log.critical("the workers cannot start: the lines above have the reason")
            self._status = FAILURE
            self._end(STOP, STOP_GRACE)
        self._succession.check_deadlines()
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._crew.kill_hung_workers()
        if now >= self._renewal.due:
            self._renewal.look(serving=self._serves)
        if now >= self._progress_at:
            self._progress_at = now + PROGRESS_EVERY
            log.info("%d connections left", self._crew.shared.table.connections())
        if now >= self._deadline:
            self._kill_remaining_workers()

    def _pause(self) -> float:
        """Start the missing workers; returns the seconds until the next deadline of the loop."""
        own = (self._deadline, self._look_at, self._progress_at)
        moments = (*own, self._watchdog.due, self._succession.due, self._renewal.due)
        return max(0.0, min(self._crew.fill(), *moments) - time.monotonic())

    @property
    def _serves(self) -> bool:
        """Whether this parent alone decides which settings the gateway has, now and after the next moment."""
        succession = self._succession
        settled = self._crew.begun and succession.in_charge and not succession.is_upgrading
        return settled and not self._draining

    def _publish(self) -> None:
        """Publish the parent's document, from which the workers make the status page."""
        self._crew.shared.state.publish(
            {
                "pid": os.getpid(),
                "started_at": self._started_at,
                "version": __version__,
                "source": self._crew.settings.config.source,
                "last_reload": self._reloader.last,
                "certificates_current": self._renewal.is_current,
                "native": {"in_use": bool(native_functions().core), "reason": native_functions().reason},
                "workers": self._crew.described(),
                "restarts": self._crew.restarts,
                "draining": self._draining,
                "retiring": self._succession.retired,
            }
        )

    # -- signals -----------------------------------------------------------------------------------

    def _on_signals(self) -> None:
        """Act on the signals that have arrived. A fault in doing so is logged, and the sessions continue."""
        for number in self._signals.receive():
            try:
                SIGNALS[number](self)
            except Exception:
                log.exception("fault in the gateway: %s", number.name)

    def reload(self) -> None:
        """Let the parent that serves read the configuration again; during an upgrade, wait for its end."""
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
        """Start the next parent, unless this one drains or does not serve."""
        if self._draining or not self._succession.may_upgrade:
            log.warning("no upgrade now")
        else:
            self._succession.upgrade()

    def stop(self) -> None:
        """Drain and stop; the second call ends the gateway at once."""
        self._stop(at_once=False)

    # -- messages of the workers -------------------------------------------------------------------

    def _on_message(self, member: Member, message: Message) -> None:
        if message.word == PREPARED:
            member.prepared, member.native = True, message.body == NATIVE
            if self._crew.begun:
                self._crew.send([member], SERVE)
                log.info("worker %d (process %d) serves", member.slot, member.pid)
            elif self._crew.size and all(each.prepared for each in self._crew.members.values()):
                self._begin()
        elif message.word == FAILED and not self._crew.begun:
            self._fail(ConfigError(problems_of(message.body)))
        elif message.word == FAILED:
            for problem in problems_of(message.body):
                log.error("worker %d keeps its previous settings: %s", member.slot, problem)

    def _begin(self) -> None:
        """Open the ports and serve: all workers are prepared."""
        crew = self._crew
        try:
            listen(crew.settings.config, crew.sockets)
        except ConfigError as error:
            self._fail(error)
            return
        crew.begun = True
        crew.send(crew.serving, SERVE)
        self._reloader.announce()
        self._succession.take_over()
        notify("READY=1", f"STATUS=serving with {crew.settings.config.workers} workers")
        self._settled()

    def _fail(self, failure: ConfigError) -> None:
        """End the workers; ``run`` then raises ``failure``."""
        self._failure = failure
        self._end(STOP, STOP_GRACE)

    # -- stopping ----------------------------------------------------------------------------------

    def _stop(self, at_once: bool) -> None:
        """Drain and stop; end at once with ``at_once`` or if this parent drains already."""
        self._succession.stopping()  # or the end of ``upgrade_timeout`` would be a second stop
        at_once = at_once or self._draining
        self._draining = True
        if at_once:
            self._status = FAILURE
            self._end(STOP, STOP_GRACE)
            return
        log.info("stopping, %d connections", self._crew.shared.table.connections())
        self._progress_at = time.monotonic() + PROGRESS_EVERY
        if self._succession.in_charge:
            notify("STOPPING=1")
        self._succession.give_up("this gateway stops")
        self._publish()  # before the workers drain, so that all of them agree that wsgw is no longer ready
        self._end(DRAIN, self._crew.settings.config.drain_timeout + DRAIN_GRACE)

    def _end(self, word: str, seconds: float) -> None:
        """Send ``word`` to all workers and to the previous parent; they must end within ``seconds``."""
        self._deadline = time.monotonic() + seconds
        self._crew.size = 0
        self._crew.end(list(self._crew.members.values()), word)
        self._succession.end_predecessor(word)

    def _kill_remaining_workers(self) -> None:
        for member in self._crew.members.values():
            log.error("worker %d (process %d) does not end: killing it", member.slot, member.pid)
            self._crew.kill(member)
        self._deadline = math.inf
        self._succession.forget_predecessor()


#: The method that acts on each signal.
SIGNALS: dict[signal.Signals, Callable[[Parent], None]] = {
    signal.SIGTERM: Parent.stop,
    signal.SIGINT: Parent.stop,
    signal.SIGHUP: Parent.reload,
    signal.SIGUSR2: Parent.upgrade,
}
