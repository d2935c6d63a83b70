"""A worker: the gateway of one process, and the parent's commands to it.

A worker ignores signals: a terminal or systemd sends them to every process, and the parent sends commands
instead. When the parent is gone, the worker drains and exits.
"""

from __future__ import annotations

import gc
import json
import logging
import pickle
import pwd
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple

import gevent
import gevent.socket
from gevent.event import Event

from wsgw.errors import ConfigError, ConfigProblem
from wsgw.gateway import Gateway, Shared, log_unhandled, native_functions
from wsgw.net.listen_sockets import Place, by_place
from wsgw.ops.logs import change_logging, start_logging
from wsgw.processes.control import Channel, Message
from wsgw.processes.privileges import become
from wsgw.processes.settings import Settings
from wsgw.upstream.check import check_upstreams, checks_of

log = logging.getLogger(__name__)

#: The messages of a worker to the parent. The body of ``PREPARED`` is ``NATIVE`` or empty.
PREPARED, FAILED = "prepared", "failed"
NATIVE = b"native"
#: The commands of the parent to a worker.
SERVE, SETTINGS, ASK, RETIRE, DRAIN, STOP = "serve", "settings", "ask", "retire", "drain", "stop"
#: Exit statuses.
DONE, FAULT, UNUSABLE = 0, 1, 2
#: While 9 700 sessions log in, the longest pause is 31 ms instead of 536, all together 0.7 s instead of 3.5.
GC_THRESHOLDS = (10_000, 5, 100)
IGNORED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


def work(
    channel: Channel,
    settings: Settings,
    sockets: Mapping[Place, socket.socket],
    account: pwd.struct_passwd | None,
    shared: Shared,
    slot: int,
    first_id: int,
    *,
    native: bool,
) -> int:
    """Run a worker in the present process, until the parent ends it; returns the exit status.

    ``channel``: to the parent. ``sockets``: they listen when ``SERVE`` arrives, not necessarily now.
    ``account``: the account to change to, None to keep the present one. ``first_id``: the number of the
    first connection in the log. ``native``: whether it may use the native functions.
    """
    writer = start_logging(settings.config.log_level, settings.config.log_format)
    try:
        log_unhandled()
        gateway = Gateway(settings.config, settings.files, sockets, shared, slot, first_id, native=native)
        if account is not None:
            become(account)
        Worker(channel, settings, sockets, gateway).run()
    except ConfigError as error:
        _send_problems(channel, error.problems)
        return UNUSABLE
    except Exception:
        log.exception("fault in the gateway")
        return FAULT
    else:
        return DONE
    finally:
        writer.stop()


class Worker:
    """A gateway that executes the commands of its parent."""

    def __init__(
        self,
        channel: Channel,
        settings: Settings,
        sockets: Mapping[Place, socket.socket],
        gateway: Gateway,
    ) -> None:
        self._channel = channel
        self._settings = settings
        self._sockets = dict(sockets)
        self._gateway = gateway
        self._over = Event()

    def run(self) -> None:
        """Serve until the parent ends this worker."""
        tune_garbage_collector()
        self._gateway.supervisor.accept_share.beat(
            time.monotonic()
        )  # the others leave connections to this worker
        self._channel.send(PREPARED, NATIVE if native_functions().core else b"")
        gevent.spawn(self._read_commands)
        self._over.wait()
        self._gateway.stop()

    # -- the parent's commands -----------------------------------------------------------------

    def _read_commands(self) -> None:
        try:
            while True:
                gevent.socket.wait_read(self._channel.fileno())
                while (message := self._receive()) is not None:
                    self._try_to_execute(message)
        except EOFError:
            log.error("the parent process is gone: this worker ends its sessions")
            self._gateway.stop_accepting()  # otherwise a gateway started in its place could not listen
            self._drain()

    def _receive(self) -> Message | None:
        """The next command; None if none has arrived.

        Only ``SETTINGS`` comes with descriptors. If this process has no room for them, the command is lost,
        and this is reported to the parent.
        """
        try:
            return self._channel.receive()
        except OSError as error:
            source = self._settings.config.source or "command line"
            _send_problems(self._channel, [ConfigProblem(source, 0, str(error.strerror))])
            return None

    def _try_to_execute(self, message: Message) -> None:
        """Execute a command. A fault in doing so is logged, and the sessions continue."""
        try:
            self._execute(message)
        except Exception:
            log.exception("fault in the gateway: %s", message.word)

    def _execute(self, message: Message) -> None:
        if message.word == SERVE:
            self._gateway.start()
        elif message.word == SETTINGS:
            self._apply_settings(message)
        elif message.word == ASK:
            gevent.spawn(self._check_upstreams)
        elif message.word == RETIRE:
            gevent.spawn(self._retire)
        elif message.word == DRAIN:
            gevent.spawn(self._drain)
        elif message.word == STOP:
            self._over.set()

    def _apply_settings(self, message: Message) -> None:
        """Use new settings; the body is the pickled pair (settings, places of the sockets in the message)."""
        settings, new = pickle.loads(message.body)
        for place, sock in zip(new, message.sockets, strict=True):
            sock.setblocking(False)
            self._sockets[place] = sock
        wanted = {place: self._sockets[place] for place in by_place(settings.config)}
        try:
            self._gateway.apply(settings.config, settings.files, wanted)
        except ConfigError as error:
            _send_problems(self._channel, error.problems)
            return
        self._settings, self._sockets = settings, wanted
        change_logging(settings.config.log_level, settings.config.log_format)

    def _check_upstreams(self) -> None:
        """Check whether the XMPP servers can be used, and log the warnings, or that all of them answer."""
        config, files = self._settings.config, self._settings.files
        try:
            problems = check_upstreams(config, files)
            for problem in problems:
                log.warning("%s", problem)
            if not problems:
                addresses = (address for check in checks_of(config) for address in check.addresses)
                log.info("upstream %s answers", ", ".join(map(str, dict.fromkeys(addresses))))
        except Exception:
            log.exception("fault while checking whether the XMPP server answers")

    def _retire(self) -> None:
        self._gateway.retire()
        self._over.set()

    def _drain(self) -> None:
        self._gateway.drain()
        self._over.set()


def _send_problems(channel: Channel, problems: Sequence[ConfigProblem]) -> None:
    """Report to the parent why settings cannot be used; ``problems_of`` reads the report."""
    channel.send(FAILED, json.dumps([astuple(problem) for problem in problems]).encode())


def problems_of(body: bytes) -> list[ConfigProblem]:
    """The errors in the body of a worker's message ``FAILED``."""
    try:
        return [ConfigProblem(str(file), int(line), str(reason)) for file, line, reason in json.loads(body)]
    except (TypeError, ValueError):
        return [ConfigProblem("worker", 0, "the worker's report cannot be read")]


def tune_garbage_collector() -> None:
    """Make the garbage collector run seldom: the loaded code stays, and sessions have no reference cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
