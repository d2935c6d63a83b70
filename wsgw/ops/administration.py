"""One worker's work for the admin: it publishes its metrics, and answers requests for the whole gateway."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gevent
from gevent.pool import Pool

from wsgw.config.model import AdminListener, Config
from wsgw.config.pem import PemFiles
from wsgw.net.listen_sockets import Place, by_place
from wsgw.ops.admin_pages import AdminPages
from wsgw.ops.expiry import expiries
from wsgw.ops.history import History
from wsgw.ops.http_server import MOST_CONNECTIONS, AdminServer
from wsgw.ops.logs import lost_lines
from wsgw.ops.overview import Overview, read_workers
from wsgw.ops.publisher import Publisher
from wsgw.ops.session_exchange import SessionExchange
from wsgw.ops.session_queries import SessionQueries
from wsgw.ops.state import StateFile
from wsgw.telemetry.session_view import Session
from wsgw.telemetry.tally import Survey, Tally

log = logging.getLogger(__name__)

#: Seconds between two attempts to connect to an XMPP server that does not answer.
PROBE_PAUSE = 5.0
#: A worker that ends waits at most so many seconds until the admin's requests are answered.
LAST_ANSWERS_TIMEOUT = 2.0
#: A worker that has published nothing for so many seconds counts as hung: another worker probes.
SILENT = 15.0


@dataclass(frozen=True)
class Served:
    """The gateway of this process, as the administration uses it; each call is cheap."""

    tally: Tally
    survey: Callable[[], Survey]
    draining: Callable[[], bool]
    #: The number of connections of the whole gateway, all workers included.
    connections: Callable[[], int]
    #: ``Upstream.probe`` of each listener, in the order of the configuration.
    probes: Callable[[], Sequence[Callable[[str], None]]]
    #: The running sessions of this process, and the switch of the trace of a connection.
    sessions: Callable[[], Iterable[Session]]
    trace: Callable[[int, bool], None]


class Administration:
    """One worker's publisher and its ``wsgw_admin`` listeners."""

    def __init__(
        self,
        folder: Path,
        slot: int,
        parent: StateFile,
        history: History,
        served: Served,
        config: Config,
        files: PemFiles,
    ) -> None:
        """``folder`` holds the metrics files of all workers; ``parent`` is the parent's state file."""
        self._folder = folder
        self._slot = slot
        self._parent = parent
        self._queries = SessionQueries(served.sessions, served.trace)
        self._exchange = SessionExchange(folder, slot, parent, self._queries.answer)
        self._pages = AdminPages(self.overview, history, folder, self._exchange)
        self._served = served
        self._config = config
        self._expiries = expiries(config, files)
        self._publisher = Publisher(folder, slot, served.tally, served.survey, lost_lines, history)
        self._servers: dict[Place, AdminServer] = {}
        self._answering = Pool(MOST_CONNECTIONS)
        self._prober: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Publish from now on. Call it after the process has changed to its account, which owns the files."""
        self._publisher.start()

    def apply(self, config: Config, files: PemFiles, sockets: Mapping[Place, socket.socket]) -> None:
        """Answer with these settings from now on, on the listeners of ``config``.

        ``sockets`` are the listening sockets of all listeners. Connections in progress are not disturbed.
        """
        self._config = config
        self._expiries = expiries(config, files)
        previous, self._servers = self._servers, {}
        for server in previous.values():
            server.release()
        for place, listener in by_place(config).items():
            if not isinstance(listener, AdminListener):
                continue
            self._servers[place] = AdminServer(
                sockets[place], place, self._pages.of(listener), self._answering, listener.allowed_hosts
            )
            self._servers[place].start()
        for place in previous.keys() - self._servers.keys():
            previous[place].close()
        if any(listener.token is not None for listener in config.admin_listeners):
            self._exchange.start()
        else:
            self._exchange.stop()
        if config.admin_listeners and self._prober is None:
            self._prober = gevent.spawn(self._probe_for_ever)

    def stop_accepting(self) -> None:
        """Leave new requests to other workers; this one still publishes its metrics."""
        if self._prober is not None:
            self._prober.kill(block=False)
        for server in self._servers.values():
            server.close()
        self._servers = {}

    def wait_until_idle(self) -> None:
        """Return when all accepted requests are answered, or after ``LAST_ANSWERS_TIMEOUT``."""
        self._answering.join(LAST_ANSWERS_TIMEOUT)

    def stop(self) -> None:
        """Close the listeners and publish for the last time."""
        self.stop_accepting()
        self._exchange.stop()
        self._queries.close()
        self._publisher.stop()

    def overview(self) -> Overview:
        """The state of the whole gateway; the part of other workers may be a second old, or more."""
        self._publisher.refresh()
        parent = self._parent.read()
        return Overview(
            self._config,
            parent,
            read_workers(self._folder, parent),
            self._served.connections(),
            self._served.draining(),
            self._expiries,
        )

    # -- whether the XMPP servers answer ---------------------------------------------------------

    def _probe_for_ever(self) -> None:
        """Connect to the upstreams that have not been tried or that failed at the last attempt.

        Sessions alone do not show whether a server is back: disconnected users may not return, and sessions
        use the second of two upstreams only when the first one fails.
        """
        while True:
            try:
                self._probe()
            except Exception:
                log.exception("fault while checking whether the XMPP server answers")
            gevent.sleep(PROBE_PAUSE)

    def _probe(self) -> None:
        overview = self.overview()
        if self._is_first(overview):
            probes = self._served.probes()
            for number in overview.doubtful:
                probes[number](overview.config.hosts[0])

    def _is_first(self, overview: Overview) -> bool:
        """Whether this worker has the lowest slot of the workers that publish: one worker probes for all."""
        recent = time.time() - SILENT
        return all(slot >= self._slot or one["at"] < recent for slot, one in overview.workers.items())
