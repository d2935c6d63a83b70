"""Logging that never blocks the event loop: a native thread writes the records of a bounded queue.

When the disk or the terminal is full or too slow, lines are dropped and counted; the number of lost lines
is logged as soon as a line can be written again. ``log_formats`` makes the lines.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import select
import threading
import time
from collections.abc import Mapping
from logging.handlers import QueueHandler

from wsgw.ops.log_formats import formatter_for

_QUEUE_SIZE = 10_000
_STANDARD_ERROR = 2
#: Seconds that the thread sleeps after it has emptied the queue, so that it writes several lines at a time:
#: waking it for each line took 0.1 ms of a login.
_GATHERING = 0.02
#: Seconds for each of the three steps of ``LogWriter.stop``, if standard error is not read in time.
STOP_TIMEOUT = 1.0


class _StandardError:
    """Standard error as a descriptor: it takes no lock of Python's file objects."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._poll.register(_STANDARD_ERROR, select.POLLOUT)
        #: The last line was written in part.
        self._torn = False

    def write(self, line: str, *, wait: bool) -> bool:
        """Write a line; returns whether the whole line was written.

        With ``wait`` false it writes only the part that standard error takes at once. A pipe that is ready
        takes PIPE_BUF bytes without blocking, even if other processes write to it too.
        """
        data = ("\n" * self._torn + line + "\n").encode("utf-8", "backslashreplace")
        sent, piece = 0, len(data) if wait else select.PIPE_BUF
        with contextlib.suppress(OSError):  # the disk is full, or the pipe has no reader any more
            while sent < len(data) and self._poll.poll(None if wait else 0):
                sent += os.write(_STANDARD_ERROR, data[sent : sent + piece])
        self._torn = sent < len(data) and (sent > 0 or self._torn)
        return sent == len(data)


def _lost_record(lost: int) -> logging.LogRecord:
    record = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING"}
    return logging.makeLogRecord({**record, "msg": "%(lost)d log lines were lost", "args": {"lost": lost}})


def _lines(record: logging.LogRecord) -> int:
    """How many lines are lost if this record is: a record about lost lines counts for all of them."""
    return int(record.args.get("lost", 1)) if isinstance(record.args, Mapping) else 1  # type: ignore[call-overload]


def _detach(record: logging.LogRecord) -> logging.LogRecord:
    """Make a record independent of the objects it was made with, so that it can be written later.

    Mappings contain only strings and numbers, so the writing thread formats them.
    """
    if not isinstance(record.args, Mapping):
        record.msg, record.args = record.getMessage(), None
    if record.exc_info:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_info = None
    return record


def lost_lines() -> int:
    """How many log lines this process has dropped so far because its queue was full."""
    handlers = logging.getLogger().handlers
    return sum(handler.dropped for handler in handlers if isinstance(handler, BoundedQueueHandler))


class BoundedQueueHandler(QueueHandler):
    """Puts records into a queue and drops them when it is full."""

    def __init__(self, records: queue.Queue[logging.LogRecord | None]) -> None:
        super().__init__(records)
        #: Records dropped so far.
        self.dropped = 0
        self._reported = 0

    @property
    def unreported(self) -> logging.LogRecord | None:
        """A record with the number of records dropped since the last such record; None if it is 0."""
        lost = self.dropped - self._reported
        return _lost_record(lost) if lost else None

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a record, or count it as lost."""
        try:
            lost = self.unreported
            if lost is not None:
                self.queue.put_nowait(lost)
                self._reported = self.dropped
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Detach the record from objects that may change before the thread writes it."""
        return _detach(record)


class _Lines:
    """Writes records as lines to standard error, and counts the lines that it could not write."""

    def __init__(self, handler: logging.Handler, *, wait: bool) -> None:
        """``handler`` has the formatter. With ``wait`` a slow reader delays lines but loses none."""
        self._handler = handler
        self._wait = wait
        self._standard_error = _StandardError()
        #: Lines not written, or written in part, since their number was last reported.
        self._lost = 0

    def write(self, record: logging.LogRecord) -> None:
        """Write a record, or count it as lost."""
        self.report()
        if self._lost or not self._put(record):
            self._lost += _lines(record)

    def report(self) -> None:
        """Write the number of lost lines, if standard error takes a line again."""
        if self._lost and self._put(_lost_record(self._lost)):
            self._lost = 0

    def _put(self, record: logging.LogRecord) -> bool:
        try:
            line = self._handler.format(record)
        except Exception:  # a fault in the call that logs must not cost the lines of other calls
            return False
        return self._standard_error.write(line, wait=self._wait)


class LogWriter:
    """The native thread that writes the queued records."""

    def __init__(self, records: queue.Queue[logging.LogRecord | None], handler: BoundedQueueHandler) -> None:
        self._records = records
        self._handler = handler
        self._lines = _Lines(handler, wait=True)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write the queued records and end the thread; give up each step after ``STOP_TIMEOUT`` seconds."""
        lost = self._handler.unreported
        with contextlib.suppress(queue.Full):
            if lost is not None:
                self._records.put(lost, timeout=STOP_TIMEOUT)
            self._records.put(None, timeout=STOP_TIMEOUT)
            self._thread.join(STOP_TIMEOUT)

    def _write(self) -> None:
        while (record := self._records.get()) is not None:
            self._lines.write(record)
            if self._records.empty():
                time.sleep(_GATHERING)
        self._lines.report()


class DirectHandler(logging.Handler):
    """Writes at once, and drops lines that standard error does not take: for a process without threads."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = _Lines(self, wait=False)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it as lost."""
        self._lines.write(_detach(record))


def log_directly(level: str, log_format: str) -> None:
    """Log to standard error without a thread; the parameters are those of ``start_logging``."""
    _log_by(DirectHandler(), level, log_format)


def start_logging(level: str, log_format: str) -> LogWriter:
    """Log to standard error by a native thread.

    ``level``: the lowest level to log, ``debug`` to ``error``. ``log_format``: ``plain`` or ``json``.
    ``stop`` of the returned writer writes the queued records and ends the thread.
    """
    records: queue.Queue[logging.LogRecord | None] = queue.Queue(_QUEUE_SIZE)
    handler = BoundedQueueHandler(records)
    writer = LogWriter(records, handler)
    _log_by(handler, level, log_format)
    return writer


def _log_by(handler: logging.Handler, level: str, log_format: str) -> None:
    # No line shows source file, thread or process name; see "Optimization" in the documentation of logging.
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = False
    logging.getLogger().handlers[:] = [handler]
    change_logging(level, log_format)


def change_logging(level: str, log_format: str) -> None:
    """Change the level and the format of all lines from the next one on; values as in ``start_logging``."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    terminal = os.isatty(_STANDARD_ERROR)
    for handler in root.handlers:
        handler.setFormatter(formatter_for(log_format, terminal=terminal, environment=os.environ))
