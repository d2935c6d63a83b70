"""Gives new settings to a running gateway, to all workers or to none.

The parent reads and checks the settings, opens the sockets for them, and sends both to its workers. If a step
fails, the gateway keeps its settings.
"""

from __future__ import annotations

import logging
import pickle
import time
from contextlib import ExitStack
from socket import socket

from wsgw.config.source import Source
from wsgw.errors import ConfigError
from wsgw.gateway import native_functions
from wsgw.net.listen_sockets import open_sockets
from wsgw.ops.announcement import log_start
from wsgw.ops.logs import change_logging
from wsgw.ops.metrics_files import MetricsFiles
from wsgw.processes.crew import Crew
from wsgw.processes.inherited import wanted_sockets
from wsgw.processes.privileges import worker_account
from wsgw.processes.settings import Settings
from wsgw.processes.systemd import notify, reloading
from wsgw.processes.worker import ASK, SETTINGS
from wsgw.upstream.check import Check, checks_of

log = logging.getLogger("wsgw.processes.parent")


class Reloader:
    """Gives new settings to the workers of a parent, and logs them."""

    def __init__(
        self, source: Source, crew: Crew, activated: list[socket], metrics: MetricsFiles, *, offline: bool
    ) -> None:
        """``activated``: systemd's sockets. With ``offline`` no XMPP server is checked."""
        self._source = source
        self._crew = crew
        self._activated = activated
        self._metrics = metrics
        self._offline = offline
        #: The checks of XMPP servers that the present settings ask for, all done.
        self._checked: frozenset[Check] = frozenset()
        #: ``last_reload`` of the parent's document (``ops.state``).
        self.last: dict[str, object] | None = None

    def reload(self) -> None:
        """Read the settings again and use them; if they have an error, log it and change nothing."""
        log.info("reading the configuration again")
        notify("RELOADING=1", reloading())
        problems = self._try_to_reload()
        for problem in problems:
            log.error("%s", problem)
        if problems:
            log.error("the configuration cannot be used: nothing has changed")
        self.last = {"at": time.time(), "ok": not problems, "errors": problems}
        notify("READY=1", f"STATUS={'the new configuration is wrong' if problems else 'serving'}")

    def announce(self) -> None:
        """Log the present settings, and let one worker check the XMPP servers if there are new checks."""
        config = self._crew.settings.config
        log_start(config, self._crew.settings.files, native_functions())
        checked, self._checked = self._checked, frozenset(checks_of(config))
        if not self._offline and not self._checked <= checked:
            self._crew.send(self._crew.serving[:1], ASK)

    def _try_to_reload(self) -> list[str]:
        """Read and use new settings; returns their errors as sentences, empty if they are in use now."""
        try:
            self._apply(Settings.read(self._source))
        except ConfigError as error:
            return [str(problem) for problem in error.problems]
        except Exception as error:
            log.exception("fault while reading the configuration")
            return [str(error) or type(error).__name__]
        return []

    def _apply(self, settings: Settings) -> None:
        """Use ``settings``. Raises ConfigError, OSError and ValueError; nothing has changed then."""
        crew, config = self._crew, settings.config
        account = worker_account(config.user)
        held = {**crew.sockets, **wanted_sockets(config, crew.sockets, self._activated)}
        sockets = open_sockets(config, held)
        with ExitStack() as undo:
            for place in sockets.keys() - held.keys():
                undo.enter_context(sockets[place])
            if account != crew.account:
                self._metrics.give_to(account)
            new = [place for place in sockets if place not in crew.sockets]
            body = pickle.dumps((settings, new))
            crew.send(crew.serving, SETTINGS, body, [sockets[place] for place in new])
            undo.pop_all()
        for place in crew.sockets.keys() - sockets.keys():
            if crew.sockets[place] not in self._activated:
                crew.sockets[place].close()
        crew.account, crew.settings, crew.sockets = account, settings, sockets
        crew.resize(config.workers)
        change_logging(config.log_level, config.log_format)
        self.announce()
