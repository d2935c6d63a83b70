"""Logging that never blocks the loop: a bounded queue, written by a native thread.

When the disk or the terminal is slower than the log, or full, lines are dropped and counted; the
count is logged when there is room again. How a line looks is ``log_formats``' part.
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

from wsgw.ops.log_formats import FORMATTERS

_QUEUE_SIZE = 10_000
_STANDARD_ERROR = 2
#: How long lines are gathered, in seconds: to wake the thread for each took 0.1 ms of a login.
_GATHERING = 0.02
#: Seconds given to whoever reads the log, when the gateway ends, for each of three steps.
STOP_TIMEOUT = 1.0


class _StandardError:
    """Standard error, past every lock of Python's."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._poll.register(_STANDARD_ERROR, select.POLLOUT)
        #: It took the beginning of a line, and not its end.
        self._torn = False

    def write(self, line: str, *, wait: bool) -> bool:
        """Write a line, or with ``wait`` false what of it is taken at once; whether that was all.

        A pipe that is ready takes PIPE_BUF without blocking, also if it is shared.
        """
        data = ("\n" * self._torn + line + "\n").encode("utf-8", "backslashreplace")
        sent, piece = 0, len(data) if wait else select.PIPE_BUF
        with contextlib.suppress(OSError):  # full, or nobody reads it any more
            while sent < len(data) and self._poll.poll(None if wait else 0):
                sent += os.write(_STANDARD_ERROR, data[sent : sent + piece])
        self._torn = sent < len(data) and (sent > 0 or self._torn)
        return sent == len(data)


def _lost_record(lost: int) -> logging.LogRecord:
    record = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING"}
    return logging.makeLogRecord({**record, "msg": "%(lost)d log lines were lost", "args": {"lost": lost}})


def _lines(record: logging.LogRecord) -> int:
    """What is lost with a record: more than itself if it tells of losses."""
    return int(record.args.get("lost", 1)) if isinstance(record.args, Mapping) else 1  # type: ignore[call-overload]


def _detach(record: logging.LogRecord) -> logging.LogRecord:
    """Make a record independent of the objects it was made with, so that it may be written later.

    Mappings hold strings and numbers only, and wait for the thread that writes.
    """
    if not isinstance(record.args, Mapping):
        record.msg, record.args = record.getMessage(), None
    if record.exc_info:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_info = None
    return record


def lost_lines() -> int:
    """Lines of this process that were lost so far."""
    handlers = logging.getLogger().handlers
    return sum(handler.dropped for handler in handlers if isinstance(handler, BoundedQueueHandler))


class BoundedQueueHandler(QueueHandler):
    """Puts records into a queue and drops them when it is full."""

    def __init__(self, records: queue.Queue[logging.LogRecord | None]) -> None:
        super().__init__(records)
        #: Records lost so far.
        self.dropped = 0
        self._reported = 0

    @property
    def unreported(self) -> logging.LogRecord | None:
        """A record that says how many were lost since the last of its kind; None if none was."""
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
        """Do what cannot be left to the thread that writes."""
        return _detach(record)


class _Lines:
    """Writes records as lines, and counts those that are not taken."""

    def __init__(self, handler: logging.Handler, *, wait: bool) -> None:
        """``handler`` has the formatter; with ``wait`` only a failure loses a line."""
        self._handler = handler
        self._wait = wait
        self._standard_error = _StandardError()
        #: Lines lost, wholly or in part, since that was last said.
        self._lost = 0

    def write(self, record: logging.LogRecord) -> None:
        """Write a record, or count it as lost."""
        self.report()
        if self._lost or not self._put(record):
            self._lost += _lines(record)

    def report(self) -> None:
        """Say how many were lost, if that can be written by now."""
        if self._lost and self._put(_lost_record(self._lost)):
            self._lost = 0

    def _put(self, record: logging.LogRecord) -> bool:
        try:
            line = self._handler.format(record)
        except Exception:  # a fault in the call that logs; the others' lines still count
            return False
        return self._standard_error.write(line, wait=self._wait)


class LogWriter:
    """The native thread that writes what is queued."""

    def __init__(self, records: queue.Queue[logging.LogRecord | None], handler: BoundedQueueHandler) -> None:
        self._records = records
        self._handler = handler
        self._lines = _Lines(handler, wait=True)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued and end; give up if it is not taken within ``STOP_TIMEOUT``."""
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
    """Writes at once, and drops what standard error does not take: for a process that has no threads."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = _Lines(self, wait=False)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it as lost."""
        self._lines.write(_detach(record))


def log_directly(level: str, log_format: str) -> None:
    """Log to standard error from ``level`` up, without a thread; see ``start_logging``."""
    _log_by(DirectHandler(), level, log_format)


def start_logging(level: str, log_format: str) -> LogWriter:
    """Log to standard error from ``level`` (``debug`` … ``error``) up, as ``plain`` or ``json``.

    The writer's ``stop`` writes what is queued.
    """
    records: queue.Queue[logging.LogRecord | None] = queue.Queue(_QUEUE_SIZE)
    handler = BoundedQueueHandler(records)
    writer = LogWriter(records, handler)
    _log_by(handler, level, log_format)
    return writer


def _log_by(handler: logging.Handler, level: str, log_format: str) -> None:
    # What no line tells need not be found out: the "Optimization" section of logging's documentation.
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = False
    logging.getLogger().handlers[:] = [handler]
    change_logging(level, log_format)


def change_logging(level: str, log_format: str) -> None:
    """Go on in another way, from the next line on."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    for handler in root.handlers:
        handler.setFormatter(FORMATTERS[log_format]())
