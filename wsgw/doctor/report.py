"""Shows findings: a line each for people, as they come, or one JSON document."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections import Counter
from collections.abc import Mapping
from typing import TextIO

from wsgw.doctor.finding import Finding, Verdict

_SIGNS = {Verdict.OK: "✔", Verdict.FAILED: "✘", Verdict.NOTE: "!", Verdict.SKIPPED: "–"}
_ASCII_SIGNS = {Verdict.OK: "ok  ", Verdict.FAILED: "FAIL", Verdict.NOTE: "note", Verdict.SKIPPED: "skip"}
#: Select Graphic Rendition (ECMA-48 section 8.3.117): green, bold red, yellow, faint.
_COLOURS = {Verdict.OK: "32", Verdict.FAILED: "1;31", Verdict.NOTE: "33", Verdict.SKIPPED: "2"}
#: Go to the start of the line and erase it (ECMA-48 section 8.3.41).
_LINE_START = "\r\x1b[K"
_ARROW, _ASCII_ARROW = "→", "->"


class Report:
    """Shows findings; ``end`` follows the last one."""

    def __init__(self) -> None:
        self._found: Counter[Verdict] = Counter()

    @property
    def failed(self) -> bool:
        """Whether a check has failed."""
        return self._found[Verdict.FAILED] > 0

    def begin(self, check: str) -> None:
        """Show that the check of this name runs now."""

    def add(self, finding: Finding) -> None:
        """Show ``finding``."""
        self._found[finding.verdict] += 1

    def end(self) -> None:
        """Complete the output."""


class Lines(Report):
    """A line for each finding: a sign, what, what to do. A terminal gets long ones in parts."""

    def __init__(self, out: TextIO, environ: Mapping[str, str]) -> None:
        """``environ``: for NO_COLOR (no-color.org), TERM and COLUMNS."""
        super().__init__()
        self._out = out
        #: Columns; None to leave lines as they are, for files and pipes.
        self._width: int | None = None
        self._coloured = False
        #: Whether the last line is that of ``begin``.
        self._shows_check = False
        if out.isatty():
            self._width = max(40, shutil.get_terminal_size().columns)
            self._coloured = not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb"
        full = _can_show("".join(_SIGNS.values()) + _ARROW, out.encoding)
        self._signs = _SIGNS if full else _ASCII_SIGNS
        self._arrow = _ARROW if full else _ASCII_ARROW

    def begin(self, check: str) -> None:
        if self._coloured:
            self._shows_check = True
            print(f"{_LINE_START}\x1b[2m... {check}\x1b[0m", end="", file=self._out, flush=True)

    def add(self, finding: Finding) -> None:
        super().add(finding)
        fix = f"{self._arrow} {finding.fix}" if finding.fix else ""
        self._print(finding.verdict, f"{finding.subject}: {finding.what}", fix)

    def end(self) -> None:
        self._clear()
        counted = [
            f"{self._found[verdict]} {words}"
            for verdict, words in (
                (Verdict.OK, "ok"),
                (Verdict.FAILED, "failed"),
                (Verdict.NOTE, "to note"),
                (Verdict.SKIPPED, "skipped"),
            )
            if self._found[verdict]
        ]
        print(", ".join(counted) or "nothing to check", file=self._out, flush=True)

    def _print(self, verdict: Verdict, what: str, fix: str) -> None:
        sign = self._signs[verdict]
        width = None if self._width is None else self._width - len(sign) - 1
        lines = self._lines(f"{what} {fix}" if fix else what)
        if width is not None and any(len(line) > width for line in lines):
            lines = [part for line in self._lines(what) + self._lines(fix) for part in _wrapped(line, width)]
        self._clear()
        shown = f"\x1b[{_COLOURS[verdict]}m{sign}\x1b[0m" if self._coloured else sign
        indent = "\n" + " " * (len(sign) + 1)
        print(f"{shown} {indent.join(lines)}", file=self._out, flush=True)

    def _clear(self) -> None:
        """Remove the line that ``begin`` has shown."""
        if self._shows_check:
            print(_LINE_START, end="", file=self._out)
            self._shows_check = False

    def _lines(self, text: str) -> list[str]:
        """The lines of ``text``, in the characters of the output's encoding."""
        encoding = self._out.encoding or "ascii"
        shown = text.encode(encoding, "backslashreplace").decode(encoding)
        return [_printable(line) for line in shown.splitlines()]


class Json(Report):
    """A list of objects with the fields of ``Finding``, printed at the end."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._objects: list[dict[str, str]] = []

    def add(self, finding: Finding) -> None:
        super().add(finding)
        self._objects.append(
            {
                "check": finding.check,
                "subject": finding.subject,
                "verdict": finding.verdict.value,
                "what": finding.what,
                "fix": finding.fix,
            }
        )

    def end(self) -> None:
        print(json.dumps(self._objects, indent=1), file=self._out, flush=True)


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)


def _can_show(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _printable(text: str) -> str:
    """A server chooses parts of the text, so nothing in it may control the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
