"""How a log record is written: a plain line, or a JSON object (``log_format``).

Both have the same parts. The arguments of a record's message may be a mapping, and the record may have
``fields`` (``extra={"fields": {...}}``), also a mapping. A plain line ends with the fields as
``name=value``; a JSON object has a key for each item of both mappings.

The thread that writes the log formats the records. Text from a peer is escaped: a record is one line
(before its traceback), no text in it looks like a field, and no character in it is invisible.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final

#: A value that a plain line shows without quotes.
_BARE = re.compile(r'[^\s"=\\]+')


class PlainFormatter(logging.Formatter):
    """``2026-01-31 12:55:29,696 INFO wsgw.relay.life[4711]: message name=value``, in local time."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it the traceback, indented so that no line of it looks like a record."""
        text = record.getMessage()
        shown = [f"{name}={_value(value)}" for name, value in _fields(record).items() if value is not None]
        line = self._prefix(record) + visible(" ".join([text, *shown]))
        traceback = record.exc_text.split("\n") if record.exc_text else []
        return "\n".join([line, *("    " + visible(each) for each in traceback)])

    def _prefix(self, record: logging.LogRecord) -> str:
        return f"{self.formatTime(record)} {record.levelname} {record.name}[{record.process}]: "


class TerminalFormatter(PlainFormatter):
    """``12:55:29 message name=value`` at a terminal: only a warning or an error has its level."""

    _COLOURS: Final = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31"}

    def __init__(self, *, colours: bool) -> None:
        """``colours``: whether the terminal shows a level in colour."""
        super().__init__(datefmt="%H:%M:%S")
        self._colours = self._COLOURS if colours else {}

    def _prefix(self, record: logging.LogRecord) -> str:
        moment = self.formatTime(record, self.datefmt)
        if record.levelno == logging.INFO:
            return f"{moment} "
        colour = self._colours.get(record.levelno)
        level = f"\x1b[{colour}m{record.levelname}\x1b[0m" if colour else record.levelname
        return f"{moment} {level} "


class JsonFormatter(logging.Formatter):
    """A JSON object in ASCII: ``ts`` (RFC 3339, UTC), ``level``, ``logger``, ``pid``, ``message``, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object, with ``traceback`` if there is one."""
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, Any] = {
            "ts": moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
        }
        for values in (record.args, _fields(record)):
            if isinstance(values, Mapping):
                line.update((name, value) for name, value in values.items() if value is not None)
        if record.exc_text:
            line["traceback"] = record.exc_text
        # DEL is the only control character that json.dumps does not escape in ASCII.
        return json.dumps(line, default=str).replace("\x7f", "\\u007f")


def formatter_for(log_format: str, *, terminal: bool, environment: Mapping[str, str]) -> logging.Formatter:
    """The formatter of a ``log_format``; ``plain`` is shorter on a ``terminal``.

    ``environment``: ``NO_COLOR`` and ``TERM=dumb`` switch colours off.
    """
    if log_format == "json":
        return JsonFormatter()
    if not terminal:
        return PlainFormatter()
    dull = environment.get("NO_COLOR") or environment.get("TERM", "dumb") == "dumb"
    return TerminalFormatter(colours=not dull)


def message_with_fields(record: logging.LogRecord) -> str:
    """The message of a record and its fields, escaped."""
    shown = [f"{name}={_value(value)}" for name, value in _fields(record).items() if value is not None]
    return visible(" ".join([record.getMessage(), *shown]))


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    return getattr(record, "fields", {})


def visible(text: str) -> str:
    """Escape every character that a terminal does not show: Unicode categories C* and Z*, except the blank.

    So no control character, line separator, change of the writing direction, character without width or
    lone surrogate reaches a reader.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(ord(each)) for each in text)


def _escape(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _value(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    if _BARE.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
