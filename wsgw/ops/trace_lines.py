"""The last lines of the traces that an admin has switched on, in memory: the page of a session shows them.

The log has the same lines. Those of the last few traced sessions are kept, also after their end.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Final

from wsgw.ops.log_formats import message_with_fields
from wsgw.telemetry import tracing

#: Sessions whose lines are kept, and lines of each.
MOST_SESSIONS: Final = 8
MOST_LINES: Final = 300


class TraceLines(logging.Handler):
    """Keeps the lines of chosen connections. It is a handler of the traces' log only while there are any."""

    def __init__(self) -> None:
        super().__init__()
        #: By connection: (seconds since the epoch, line); the trace that began last comes last.
        self._kept: dict[int, deque[tuple[float, str]]] = {}

    def keep(self, connection: int) -> None:
        """Keep the lines of ``connection`` from now on; those of the oldest one may be dropped for it."""
        self._kept[connection] = self._kept.pop(connection, deque(maxlen=MOST_LINES))
        while len(self._kept) > MOST_SESSIONS:
            del self._kept[next(iter(self._kept))]
        if self not in tracing.log.handlers:
            tracing.log.addHandler(self)

    def of(self, connection: int) -> list[tuple[float, str]] | None:
        """The lines of ``connection``; None if they were never kept, or no longer are."""
        lines = self._kept.get(connection)
        return None if lines is None else list(lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line, if it is about one of the connections."""
        known = record.args
        lines = self._kept.get(known.get("connection", 0)) if isinstance(known, Mapping) else None  # type: ignore[call-overload]
        if lines is not None:
            lines.append((record.created, message_with_fields(record)))

    def close(self) -> None:
        """Keep no more lines."""
        tracing.log.removeHandler(self)
        super().close()
