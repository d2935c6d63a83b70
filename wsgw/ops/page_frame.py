"""The frame of the admin's pages, and how they show times and numbers."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final

from wsgw.ops.markup import Html, element, joined

#: The folder of the pages and of their files, as a path of the listener.
FOLDER: Final = "/status/"


def frame(title: str, bar: Html, content: Html, *, version: str, script: str | None) -> Html:
    """A document. ``bar``: the rest of its top line. ``script``: the file of its module, None without one."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("title", title),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("link", rel="icon", href=f"{FOLDER}icon.svg"),
        *(element("link", rel="stylesheet", href=FOLDER + file) for file in ("theme.css", "status.css")),
        element("script", type="module", src=FOLDER + script) if script is not None else None,
    )
    body = element(
        "body",
        element("a", "Skip to the content", class_="skip", href="#content"),
        element("header", bar, class_="bar"),
        element("main", content, id="content", tabindex=-1),
        data_version=version,
    )
    return joined([Html("<!DOCTYPE html>\n"), element("html", head, body, lang="en"), Html("\n")])


def moment(at: float, form: str = "%Y-%m-%d %H:%M:%S UTC", *, shown: str = "day") -> Html:
    """A time in seconds since the epoch; the script of a page shows it in the reader's time zone.

    ``shown``: with ``day``, as ``clock`` without seconds, or as ``seconds``.
    """
    when = datetime.fromtimestamp(at, timezone.utc)
    exact = when.isoformat(timespec="seconds").replace("+00:00", "Z")
    return element("time", when.strftime(form), datetime=exact, data_form=shown)


def clock(at: float, *, seconds: bool = False) -> Html:
    """A time of today."""
    if seconds:
        return moment(at, "%H:%M:%S UTC", shown="seconds")
    return moment(at, "%H:%M UTC", shown="clock")


def badge(kind: str, text: object) -> Html:
    """A short mark; ``kind``: good, warn, bad or empty."""
    return element("span", text, class_=f"badge {kind}".strip())


def ago(at: float, now: float) -> str:
    """How long ago ``at`` was."""
    return f"{duration(max(0.0, now - at))} ago"


def duration(seconds: float) -> str:
    """A duration in the unit in which it is 2 or more."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def rate(number: float) -> str:
    """A number a second, with three significant digits at least."""
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2g}"


def milliseconds(seconds: float | None) -> str:
    """Seconds as milliseconds; a dash for None."""
    return "–" if seconds is None else f"{rate(seconds * 1000)} ms"
