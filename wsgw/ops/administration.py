"""What one worker does for the admin: publishes its figures, and answers for the whole gateway."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gevent
from gevent.pool import Pool

from wsgw.config.model import AdminListener, Config
from wsgw.config.pem import PemFiles
from wsgw.net.listen_sockets import Place, by_place
from wsgw.ops.certificates import expiries
from wsgw.ops.exposition import CONTENT_TYPE, exposition
from wsgw.ops.http_server import MOST_CONNECTIONS, AdminServer, Answer, Pages
from wsgw.ops.logs import lost_lines
from wsgw.ops.overview import Overview, read_workers
from wsgw.ops.publisher import Publisher
from wsgw.ops.state import StateFile
from wsgw.ops.status_page import page, status
from wsgw.telemetry.tally import Survey, Tally

log = logging.getLogger(__name__)

#: How often a server that does not answer is tried again, in seconds.
PROBE_PAUSE = 5.0
#: Beyond this ``/readyz`` does not wait for the first word of the servers, in seconds.
FIRST_WORD = 5.0
#: Nor does the end of a worker wait longer for those who ask to have their answers.
LAST_ANSWERS = 2.0
#: A worker that has published nothing for so long is not reckoned with, in seconds.
SILENT = 15.0


@dataclass(frozen=True)
class Served:
    """What is asked of the gateway of this process; each is cheap."""

    tally: Tally
    survey: Callable[[], Survey]
    draining: Callable[[], bool]
    #: Of the whole gateway.
    connections: Callable[[], int]
    #: See ``Upstream.probe``; one for each listener.
    probes: Callable[[], Sequence[Callable[[str], None]]]


class Administration:
    """One worker's part."""

    def __init__(
        self, folder: Path, slot: int, parent: StateFile, served: Served, config: Config, files: PemFiles
    ) -> None:
        self._folder = folder
        self._slot = slot
        self._parent = parent
        self._served = served
        self._config = config
        self._certificates = expiries(config, files)
        self._publisher = Publisher(folder, slot, served.tally, served.survey, lost_lines)
        self._servers: dict[Place, AdminServer] = {}
        self._answering = Pool(MOST_CONNECTIONS)
        self._prober: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Publish from now on. The process has the account it is to keep."""
        self._publisher.start()

    def take(self, config: Config, files: PemFiles, sockets: Mapping[Place, socket.socket]) -> None:
        """Speak of these settings from now on, and on their listeners."""
        self._config = config
        self._certificates = expiries(config, files)
        former, self._servers = self._servers, {}
        for server in former.values():
            server.release()
        for place, listener in by_place(config).items():
            if not isinstance(listener, AdminListener):
                continue
            self._servers[place] = AdminServer(sockets[place], place, self.pages, self._answering)
            self._servers[place].start()
        for place in former.keys() - self._servers.keys():
            former[place].close()
        if config.admin_listeners and self._prober is None:
            self._prober = gevent.spawn(self._probe_for_ever)

    def leave(self) -> None:
        """Leave whoever asks to others; figures are published still."""
        if self._prober is not None:
            self._prober.kill(block=False)
        for server in self._servers.values():
            server.close()
        self._servers = {}

    def wait_until_idle(self) -> None:
        """Return when whoever has asked has an answer, ``LAST_ANSWERS`` later at the latest."""
        self._answering.join(LAST_ANSWERS)

    def stop(self) -> None:
        """Publish for the last time."""
        self.leave()
        self._publisher.stop()

    def overview(self) -> Overview:
        """How the gateway stands; of other workers, as it was a second ago."""
        self._publisher.refresh()
        parent = self._parent.read()
        return Overview(
            self._config,
            parent,
            read_workers(self._folder, parent),
            self._served.connections(),
            self._served.draining(),
            self._certificates,
        )

    @property
    def pages(self) -> Pages:
        """What the listener answers."""
        return {
            "/metrics": self._metrics,
            "/healthz": lambda: Answer(200, b"ok\n"),
            "/readyz": self._readiness,
            "/status": self._status_page,
            "/status.json": self._status,
        }

    def _metrics(self) -> Answer:
        overview = self.overview()
        # Some milliseconds for each worker there is: the sessions shall not wait for it.
        body = gevent.get_hub().threadpool.apply(exposition, (overview, self._folder))
        return Answer(200, body, CONTENT_TYPE)

    def _readiness(self) -> Answer:
        deadline = time.monotonic() + FIRST_WORD
        overview = self.overview()
        while None in overview.attempts.values() and overview.unreachable and time.monotonic() < deadline:
            gevent.sleep(0.1)
            overview = self.overview()
        reasons = overview.why_not_ready()
        return Answer(503 if reasons else 200, ("\n".join(reasons or ["ready"]) + "\n").encode())

    def _status(self) -> Answer:
        found = status(self.overview(), time.time())
        return Answer(200, json.dumps(found, indent=1).encode(), "application/json")

    def _status_page(self) -> Answer:
        now = time.time()
        return Answer(200, page(status(self.overview(), now), now).encode(), "text/html; charset=utf-8")

    # -- whether the servers answer --------------------------------------------------------------

    def _probe_for_ever(self) -> None:
        """Try those that nobody has tried, or that failed.

        Users who are turned away may not come again, and none comes to the second of two that answer.
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
        """One worker is enough."""
        recent = time.time() - SILENT
        return all(slot >= self._slot or one["at"] < recent for slot, one in overview.workers.items())
