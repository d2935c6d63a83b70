"""Logging that never blocks the loop: a bounded queue, written by a native thread.

When the disk or the terminal is slower than the log, lines are dropped and counted; the count is
logged when there is room again. Control characters are escaped, so that a peer cannot forge lines.
"""

from __future__ import annotations

import logging
import queue
import sys
from logging.handlers import QueueHandler, QueueListener

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_QUEUE_SIZE = 10_000
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_CONTROL.update({0x2028: "\\u2028", 0x2029: "\\u2029"})


class BoundedQueueHandler(QueueHandler):
    """Puts records into a queue and drops them when it is full."""

    def __init__(self, records: queue.Queue[logging.LogRecord]) -> None:
        super().__init__(records)
        #: Records lost so far.
        self.dropped = 0
        self._reported = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a record, or count it as lost."""
        try:
            if self.dropped > self._reported:
                lost = self.dropped - self._reported
                message = logging.makeLogRecord(
                    {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING"}
                )
                message.msg = f"{lost} log lines were lost"
                self.queue.put_nowait(message)
                self._reported = self.dropped
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class _OneLine(logging.Formatter):
    """Formats a record; its message stays on one line, a traceback of ours may follow."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.translate(_CONTROL)
        return super().formatMessage(record)


class _Preparing(BoundedQueueHandler):
    """Keeps the traceback apart from the message, which is escaped when it is written."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        record.message = record.msg = record.getMessage()
        record.args = None
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        return record


def start_logging(level: str) -> QueueListener:
    """Log to standard error from ``level`` (``debug`` … ``error``) up; ``stop`` writes what is queued."""
    records: queue.Queue[logging.LogRecord] = queue.Queue(_QUEUE_SIZE)
    writer = logging.StreamHandler(sys.stderr)
    writer.setFormatter(_OneLine(_FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [_Preparing(records)]
    root.setLevel(level.upper())
    listener = QueueListener(records, writer)
    listener.start()
    return listener
