"""Logging that never blocks the loop: a bounded queue, written by a native thread.

When the disk or the terminal is slower than the log, lines are dropped and counted; the count is
logged when there is room again. Control characters are escaped, so that a peer cannot forge lines.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import select
import threading
from logging.handlers import QueueHandler

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_QUEUE_SIZE = 10_000
_STANDARD_ERROR = 2
#: Seconds given to whoever reads the log, when the gateway ends, for each of three steps.
STOP_TIMEOUT = 1.0
#: Control characters, line separators, and what turns the direction of writing.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_CONTROL.update({code: f"\\u{code:04x}" for code in (*range(0x2028, 0x202F), *range(0x2066, 0x206A))})


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
        if not lost:
            return None
        record = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING"}
        return logging.makeLogRecord({**record, "msg": f"{lost} log lines were lost"})

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


class _OneLine(logging.Formatter):
    """Formats a record; its message stays on one line, a traceback of ours may follow, indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.translate(_CONTROL)
        return super().formatMessage(record)


class _Preparing(BoundedQueueHandler):
    """Keeps the traceback apart from the message, which is escaped when it is written."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.message = record.msg = record.getMessage()
        record.args = None
        if record.exc_info:
            # The text of an exception may be a peer's: no line of it may look like one of the log's.
            lines = logging.Formatter().formatException(record.exc_info).split("\n")
            record.exc_text = "\n".join("    " + line.translate(_CONTROL) for line in lines)
            record.exc_info = None
        return record


def _write_line(line: str) -> None:
    """Write to standard error past every lock, so that one who does not read it cannot hold up the end."""
    data = (line + "\n").encode("utf-8", "backslashreplace")
    with contextlib.suppress(OSError):  # nobody is left to be told
        while data:
            data = data[os.write(_STANDARD_ERROR, data) :]


class LogWriter:
    """The native thread that writes what is queued."""

    def __init__(self, records: queue.Queue[logging.LogRecord | None], handler: BoundedQueueHandler) -> None:
        self._records = records
        self._handler = handler
        self._formatter = _OneLine(_FORMAT)
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
            _write_line(self._formatter.format(record))


class DirectHandler(logging.Handler):
    """Writes at once, and drops what standard error does not take: for a process that has no threads."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_OneLine(_FORMAT))
        #: Records lost, wholly or in part, since that was last said.
        self.dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it as lost."""
        if self.dropped and self._write(f"{self.dropped} log lines were lost\n".encode()):
            self.dropped = 0
        line = self.format(record) + "\n"
        if self.dropped or not self._write(line.encode("utf-8", "backslashreplace")):
            self.dropped += 1

    def _write(self, data: bytes) -> bool:
        """Write what is taken without waiting; whether that was all. A pipe that is ready takes PIPE_BUF."""
        poll = select.poll()
        poll.register(_STANDARD_ERROR, select.POLLOUT)
        try:
            while data and poll.poll(0):
                data = data[os.write(_STANDARD_ERROR, data[: select.PIPE_BUF]) :]
        except OSError:  # nobody is left to be told
            return True
        return not data


def log_directly(level: str) -> None:
    """Log to standard error from ``level`` up, without a thread."""
    root = logging.getLogger()
    root.handlers[:] = [DirectHandler()]
    root.setLevel(level.upper())


def start_logging(level: str) -> LogWriter:
    """Log to standard error from ``level`` (``debug`` … ``error``) up; ``stop`` writes what is queued."""
    records: queue.Queue[logging.LogRecord | None] = queue.Queue(_QUEUE_SIZE)
    handler = _Preparing(records)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    return LogWriter(records, handler)
