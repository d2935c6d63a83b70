"""The answers of the ``wsgw_admin`` listener, by path."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import gevent

from wsgw.config.model import AdminListener
from wsgw.ops.exposition import CONTENT_TYPE, exposition
from wsgw.ops.history import History, history_document
from wsgw.ops.http_server import Answer, Pages, Request, Route
from wsgw.ops.overview import Overview
from wsgw.ops.page_frame import FOLDER
from wsgw.ops.session_exchange import SessionExchange
from wsgw.ops.session_pages import SessionPages
from wsgw.ops.status_document import status
from wsgw.ops.status_page import page
from wsgw.ops.token_access import Access, WrongTokens
from wsgw.pages.assets import Asset, page_files

#: ``/readyz`` waits at most so many seconds for the first attempt to connect to each XMPP server.
FIRST_ATTEMPTS_TIMEOUT = 5.0
_JSON: Final = "application/json"
#: Read at the import, so in the parent: workers may lack the right, and an upgrade may remove the files.
_FILES: Final = page_files("status")


class AdminPages:
    """The pages about one gateway."""

    def __init__(
        self, overview: Callable[[], Overview], history: History, folder: Path, exchange: SessionExchange
    ) -> None:
        """``overview`` returns the present state; ``folder`` holds the metrics files of all workers."""
        self._overview = overview
        self._history = history
        self._folder = folder
        self._exchange = exchange
        self._wrong_tokens = WrongTokens()

    def of(self, listener: AdminListener) -> Pages:
        """The answers of ``listener`` to each path."""
        probes = {
            "/metrics": Route(self._metrics),
            "/healthz": Route(lambda _request: Answer(200, b"ok\n")),
            "/readyz": Route(self._readiness),
        }
        if listener.serve == "probes":
            return probes
        files = {FOLDER + name: Route(partial(_file, asset)) for name, asset in _FILES.items()}
        return {
            **probes,
            "/": Route(lambda _request: Answer.see_other("/status")),
            "/status": Route(partial(self._status_page, has_sessions=listener.token is not None)),
            "/status.json": Route(self._status),
            "/history.json": Route(self._samples),
            **files,
            **self._about_sessions(listener),
        }

    def _about_sessions(self, listener: AdminListener) -> Pages:
        if listener.token is None:
            return {}
        access = Access(listener.token, listener.port, self._wrong_tokens)
        return SessionPages(
            access, self._exchange, lambda: str(self._overview().parent.get("version", ""))
        ).all

    def _metrics(self, _request: Request) -> Answer:
        overview = self._overview()
        # It takes some milliseconds per worker. In a native thread it does not delay the sessions.
        body = gevent.get_hub().threadpool.apply(exposition, (overview, self._folder))
        return Answer(200, body, CONTENT_TYPE)

    def _readiness(self, _request: Request) -> Answer:
        deadline = time.monotonic() + FIRST_ATTEMPTS_TIMEOUT
        overview = self._overview()
        while None in overview.attempts.values() and overview.unreachable and time.monotonic() < deadline:
            gevent.sleep(0.1)
            overview = self._overview()
        reasons = overview.why_not_ready()
        return Answer(503 if reasons else 200, ("\n".join(reasons or ["ready"]) + "\n").encode())

    def _status(self, _request: Request) -> Answer:
        return Answer(200, json.dumps(status(self._overview(), time.time()), indent=1).encode(), _JSON)

    def _samples(self, request: Request) -> Answer:
        """The samples of the last hour, or those since the time ``after`` of the query."""
        try:
            after = int(float(request.query.get("after", 0)))
        except (ValueError, OverflowError):  # also for NaN and infinity
            return Answer(400, b"after: expected seconds since the epoch\n")
        return Answer(200, _compact(history_document(self._history, time.time(), after)), _JSON)

    def _status_page(self, _request: Request, *, has_sessions: bool) -> Answer:
        now = time.time()
        found = status(self._overview(), now)
        return Answer.of_page(page(found, self._history, now, has_sessions=has_sessions))


def _file(asset: Asset, request: Request) -> Answer:
    if asset.is_known(request.field("If-None-Match")):
        return Answer(304, b"", file_fields=asset.fields)
    return Answer(200, asset.body, file_fields=asset.fields)


def _compact(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
