"""The parent: opens the sockets, keeps the workers going, and does what signals say.

SIGTERM, SIGINT   drain and stop; a second one ends at once
SIGHUP            read the configuration again; if it is wrong, everything stays as it was
"""

from __future__ import annotations

import logging
import selectors
import signal
import socket
import time
from collections.abc import Callable

from wsgw.config.options import MAX_WORKERS
from wsgw.errors import ConfigError
from wsgw.gateway import Shared, log_start
from wsgw.listening import Place, bind_sockets, listen, open_sockets, places
from wsgw.processes.control import Message
from wsgw.processes.crew import Crew, Member
from wsgw.processes.privileges import worker_account
from wsgw.processes.settings import Settings
from wsgw.processes.worker import DRAIN, FAILED, PREPARED, SERVE, SETTINGS, STOP

log = logging.getLogger(__name__)

#: What workers get beyond ``drain_timeout`` to end, and to end at once, in seconds.
DRAIN_GRACE, STOP_GRACE = 5.0, 1.0
STOPPED, FAILURE = 0, 1


class Parent:
    """Runs a gateway; ``run`` returns its exit status."""

    def __init__(self, read: Callable[[], Settings]) -> None:
        """``read`` gives the settings, at the start and whenever they are to be read again."""
        self._read = read
        self._selector = selectors.DefaultSelector()
        self._wakeup, self._wakeup_end = socket.socketpair()
        self._wakeup.setblocking(False)
        self._wakeup_end.setblocking(False)
        #: Set while the workers are being ended: when to kill those that are left (monotonic).
        self._deadline: float | None = None
        self._status = STOPPED
        self._serving = False

    def run(self) -> int:
        """Serve until a signal ends it. Raises ConfigError if it cannot be begun."""
        settings = self._read()
        logging.getLogger().setLevel(settings.config.log_level.upper())
        account = worker_account(settings.config.user)
        self._sockets = bind_sockets(settings.config, {})
        self._crew = Crew(
            settings,
            self._sockets,
            account,
            Shared.make(settings.config, MAX_WORKERS),
            self._selector,
            self._heard,
            [self._wakeup, self._wakeup_end],
        )
        self._catch_signals()
        self._crew.resize(settings.config.workers)
        self._failure: ConfigError | None = None
        while self._crew.size or self._crew.members:
            self._turn()
        if self._failure is not None:
            raise self._failure
        return self._status

    # -- the loop --------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        signal.set_wakeup_fd(self._wakeup_end.fileno(), warn_on_full_buffer=False)
        for number in (*_ON_SIGNAL, signal.SIGCHLD):
            signal.signal(number, _nothing)
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._signalled)

    def _turn(self) -> None:
        moments = [moment for moment in (self._crew.fill(), self._deadline) if moment is not None]
        timeout = max(0.0, min(moments) - time.monotonic()) if moments else None
        for key, _ in self._selector.select(timeout):
            key.data()
        lost = self._crew.reap()
        if (lost or self._crew.fork_failed) and not self._serving and self._deadline is None:
            log.critical("the workers cannot start")
            self._status = FAILURE
            self._end(STOP, STOP_GRACE)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            for member in self._crew.members.values():
                log.error("worker %d (process %d) does not end: killing it", member.slot, member.pid)
                self._crew.kill(member)
            self._deadline = None

    def _signalled(self) -> None:
        for number in dict.fromkeys(self._wakeup.recv(4096)):
            if number in _ON_SIGNAL:
                _ON_SIGNAL[signal.Signals(number)](self)

    def _heard(self, member: Member, message: Message) -> None:
        if message.word == PREPARED:
            member.prepared = True
            if self._serving:
                self._crew.tell([member], SERVE)
            elif all(each.prepared for each in self._crew.members.values()):
                self._begin()
        elif message.word == FAILED and not self._serving:
            self._failure = ConfigError(message.body)
            self._end(STOP, STOP_GRACE)
        elif message.word == FAILED:
            for problem in message.body:
                log.error("worker %d keeps its former settings: %s", member.slot, problem)

    def _begin(self) -> None:
        """All workers are prepared: now the ports may be seen."""
        config = self._crew.settings.config
        try:
            listen(config, self._sockets)
        except ConfigError as error:
            self._failure = error
            self._end(STOP, STOP_GRACE)
            return
        self._serving = True
        self._crew.tell(self._crew.serving, SERVE)
        log_start(config)

    # -- what signals say ------------------------------------------------------------------------

    def _stop(self) -> None:
        if self._deadline is not None:
            self._status = FAILURE
            self._end(STOP, STOP_GRACE)
            return
        log.info("stopping, %d connections", self._crew.shared.table.connections())
        self._end(DRAIN, self._crew.settings.config.drain_timeout + DRAIN_GRACE)

    def _end(self, word: str, seconds: float) -> None:
        """Let all workers go, within so many seconds."""
        self._deadline = time.monotonic() + seconds
        self._crew.size = 0
        self._crew.dismiss(list(self._crew.members.values()), word)

    def _reload(self) -> None:
        if not self._serving or self._deadline is not None:
            return
        log.info("reading the configuration again")
        try:
            settings = self._read()
            account = worker_account(settings.config.user)
            sockets = open_sockets(settings.config, self._sockets)
        except ConfigError as error:
            for problem in error.problems:
                log.error("%s", problem)
            log.error("the configuration cannot be used: everything stays as it was")
        except Exception:
            log.exception("fault while reading the configuration: everything stays as it was")
        else:
            self._crew.account = account
            self._apply(settings, sockets)

    def _apply(self, settings: Settings, sockets: dict[Place, socket.socket]) -> None:
        new = [place for place in sockets if place not in self._sockets]
        gone = [sock for place, sock in self._sockets.items() if place not in sockets]
        self._sockets = sockets
        self._crew.settings, self._crew.sockets = settings, sockets
        body = (settings, places(settings.config), new)
        self._crew.tell(self._crew.serving, SETTINGS, body, [sockets[place] for place in new])
        for sock in gone:
            sock.close()
        self._crew.resize(settings.config.workers)
        logging.getLogger().setLevel(settings.config.log_level.upper())
        log_start(settings.config)


def _nothing(number: int, _frame: object) -> None:
    """Signals are read from the wakeup descriptor."""


_ON_SIGNAL: dict[signal.Signals, Callable[[Parent], None]] = {
    signal.SIGTERM: Parent._stop,
    signal.SIGINT: Parent._stop,
    signal.SIGHUP: Parent._reload,
}
