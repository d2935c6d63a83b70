"""What one worker answers about its sessions, to itself and to the other workers (``session_exchange``).

Queries and answers are JSON documents. The key ``ask`` of a query is the name of an answer:

    sessions   {words, after, count} → {sessions: [line], matching: number of all matches}
               the sessions that match, with the smallest connection numbers above ``after``
    session    {connection} → {session: facts or null, lines: [[time, text]] or null, traced_for: seconds}
    trace      {connection, seconds} → {done: true}, or {busy: true} if it traces as many sessions as it may;
               0 seconds end the trace

The answer to the last two is {} if the worker knows nothing of the connection. ``telemetry.session_view``
makes ``line`` and ``facts``; times are seconds since the epoch.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Final, NamedTuple

import gevent

from wsgw.ops.trace_lines import MOST_SESSIONS, TraceLines
from wsgw.telemetry import session_view
from wsgw.telemetry.session_view import Session

#: Lines of a table, and seconds of a trace, at most.
MOST_LINES: Final = 100
LONGEST_TRACE: Final = 900
#: After so many sessions the search lets other greenlets run.
_AT_ONCE: Final = 500

Document = dict[str, Any]


class _Trace(NamedTuple):
    #: When it ends (monotonic).
    until: float
    timer: gevent.Greenlet[..., None]


class SessionQueries:
    """Answers queries about the sessions of this worker."""

    def __init__(self, sessions: Callable[[], Iterable[Session]], trace: Callable[[int, bool], None]) -> None:
        """``sessions`` returns the running ones; ``trace`` switches the trace of a connection on and off."""
        self._sessions = sessions
        self._switch = trace
        self._lines = TraceLines()
        self._traces: dict[int, _Trace] = {}
        self._answers: dict[str, Callable[[Document], Document]] = {
            "sessions": self._table,
            "session": self._session,
            "trace": self._trace,
        }

    def answer(self, query: Document) -> Document:
        """The answer to ``query``. Raises KeyError, TypeError or ValueError if it is not a query."""
        return self._answers[query["ask"]](query)

    def close(self) -> None:
        """End all traces."""
        for connection in list(self._traces):
            self._end(connection)
        self._lines.close()

    def _table(self, query: Document) -> Document:
        words, after = str(query["words"]), int(query["after"])
        found: list[Session] = []
        for number, session in enumerate(list(self._sessions()), 1):
            if session_view.matches(session, words):
                found.append(session)
            if number % _AT_ONCE == 0:
                gevent.sleep(0)
        later = (session for session in found if session.peer.connection_id > after)
        shown = heapq.nsmallest(
            min(int(query["count"]), MOST_LINES), later, key=lambda session: session.peer.connection_id
        )
        now = monotonic()
        return {"sessions": [session_view.line(session, now) for session in shown], "matching": len(found)}

    def _find(self, connection: int) -> Session | None:
        return next((one for one in self._sessions() if one.peer.connection_id == connection), None)

    def _session(self, query: Document) -> Document:
        connection, now = int(query["connection"]), monotonic()
        session, lines = self._find(connection), self._lines.of(connection)
        if session is None and lines is None:
            return {}
        trace = self._traces.get(connection)
        return {
            "session": session_view.facts(session, now) if session is not None else None,
            "lines": lines,
            "traced_for": round(trace.until - now) if trace is not None and session is not None else 0,
        }

    def _trace(self, query: Document) -> Document:
        connection, seconds = int(query["connection"]), min(int(query["seconds"]), LONGEST_TRACE)
        if self._find(connection) is None:
            return {}
        self._traces = {one: trace for one, trace in self._traces.items() if not trace.timer.dead}
        if seconds > 0 and connection not in self._traces and len(self._traces) >= MOST_SESSIONS:
            return {"busy": True}
        self._end(connection)
        if seconds > 0:
            self._lines.keep(connection)
            self._switch(connection, True)
            timer = gevent.spawn_later(seconds, self._end, connection)
            self._traces[connection] = _Trace(monotonic() + seconds, timer)
        return {"done": True}

    def _end(self, connection: int) -> None:
        trace = self._traces.pop(connection, None)
        if trace is None:
            return
        if trace.timer is not gevent.getcurrent():
            trace.timer.kill(block=False)
        self._switch(connection, False)
