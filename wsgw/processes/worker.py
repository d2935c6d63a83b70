"""A worker: one process's gateway, and the parent's commands to it.

It heeds no signal: those of a terminal or of systemd come to every process, and it is the parent who
says what they mean. When the parent is gone it drains and ends.
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
from wsgw.gateway import Gateway, Shared, log_unhandled
from wsgw.net.listen_sockets import Place, by_place
from wsgw.ops.logs import change_logging, start_logging
from wsgw.ops.upstream_check import check_upstreams
from wsgw.processes.control import Channel, Message
from wsgw.processes.privileges import become
from wsgw.processes.settings import Settings

log = logging.getLogger(__name__)

#: What the parent gets to hear.
PREPARED, FAILED = "prepared", "failed"
#: What it says.
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
) -> int:
    """Serve in a process that was forked for it, until the parent wants no more; returns the exit status.

    ``sockets`` listen already, or will before ``SERVE`` comes; ``account`` is None to keep the present one.
    """
    writer = start_logging(settings.config.log_level, settings.config.log_format)
    try:
        log_unhandled()
        gateway = Gateway(settings.config, settings.files, sockets, shared, slot, first_id)
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
    """A gateway that does what its parent says."""

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
        """Serve until the parent wants no more."""
        spare_the_collector()
        self._gateway.supervisor.turn.beat(time.monotonic())  # the others need not take all until we serve
        self._channel.send(PREPARED)
        gevent.spawn(self._listen_to_parent)
        self._over.wait()
        self._gateway.stop()

    # -- the parent's commands -----------------------------------------------------------------

    def _listen_to_parent(self) -> None:
        try:
            while True:
                gevent.socket.wait_read(self._channel.fileno())
                while (message := self._hear()) is not None:
                    self._obey(message)
        except EOFError:
            log.error("the parent process is gone: this worker ends its sessions")
            self._gateway.leave()  # or whoever is started in its place could not listen
            self._drain()

    def _hear(self) -> Message | None:
        """Only new settings bring descriptors: if there is no room for those, they are what is lost."""
        try:
            return self._channel.receive()
        except OSError as error:
            source = self._settings.config.source or "command line"
            _send_problems(self._channel, [ConfigProblem(source, 0, str(error.strerror))])
            return None

    def _obey(self, message: Message) -> None:
        """Do what the parent says; a fault of ours in doing so must not cost the sessions."""
        try:
            self._do(message)
        except Exception:
            log.exception("fault in the gateway: %s", message.word)

    def _do(self, message: Message) -> None:
        if message.word == SERVE:
            self._gateway.start()
        elif message.word == SETTINGS:
            self._take_settings(message)
        elif message.word == ASK:
            gevent.spawn(self._check_upstreams)
        elif message.word == RETIRE:
            gevent.spawn(self._retire)
        elif message.word == DRAIN:
            gevent.spawn(self._drain)
        elif message.word == STOP:
            self._over.set()

    def _take_settings(self, message: Message) -> None:
        """The body is (settings, the places of the sockets that come along)."""
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
        """Whether the XMPP servers can be used; what is wrong goes to the log."""
        try:
            for problem in check_upstreams(*self._settings):
                log.warning("%s", problem)
        except Exception:
            log.exception("fault while checking whether the XMPP server answers")

    def _retire(self) -> None:
        self._gateway.retire()
        self._over.set()

    def _drain(self) -> None:
        self._gateway.drain()
        self._over.set()


def _send_problems(channel: Channel, problems: Sequence[ConfigProblem]) -> None:
    """Say why settings cannot be taken; ``problems_of`` reads it."""
    channel.send(FAILED, json.dumps([astuple(problem) for problem in problems]).encode())


def problems_of(body: bytes) -> list[ConfigProblem]:
    """What a worker says with ``FAILED``."""
    try:
        return [ConfigProblem(str(file), int(line), str(reason)) for file, line, reason in json.loads(body)]
    except (TypeError, ValueError):
        return [ConfigProblem("worker", 0, "it cannot say why")]


def spare_the_collector() -> None:
    """Let the garbage collector look seldom: what is loaded stays, and sessions hold no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
