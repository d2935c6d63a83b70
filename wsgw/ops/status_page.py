"""``/status``: the state of the gateway as a page for people.

It is complete without scripts: tables, and the last hour in steps. ``pages/status/status.js`` adds the plots,
and replaces what has changed every five seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from wsgw.errors.causes import LABELS
from wsgw.ops.history import INTERVAL, KEPT, History, Sample
from wsgw.ops.last_hour import by_cause, recent, steps
from wsgw.ops.markup import Html, element, joined, pairs, table
from wsgw.ops.page_frame import FOLDER, ago, badge, clock, duration, frame, milliseconds, moment, rate

#: Rows of a table at most.
MOST_ROWS: Final = 50
#: A certificate that expires within so many days is pointed out, as by the alerts.
SOON_DAYS: Final = 14
_DAY: Final = 86400
_Row = Sequence[object]


def page(found: dict[str, Any], history: History, now: float, *, has_sessions: bool = False) -> Html:
    """The page for the document ``found`` of ``status``; ``now``: seconds since the epoch.

    ``has_sessions``: the listener has the pages about sessions.
    """
    samples = history.read(now)
    content = joined(
        [
            _notices(found, now),
            _tiles(found, samples),
            _hour(samples, history.since, now),
            element("div", *_causes(samples), *_cards(found, now), class_="cards"),
        ]
    )
    title = f"wsgw: {'ready' if found['ready'] else 'not ready'}"
    return frame(title, _bar(found, now, has_sessions), content, version=found["version"], script="status.js")


def _bar(found: dict[str, Any], now: float, has_sessions: bool) -> Html:
    name = element(
        "h1", element("img", src=f"{FOLDER}icon.svg", alt=""), "wsgw ", element("small", found["version"])
    )
    mark = badge("good", "ready") if found["ready"] else badge("bad", "not ready")
    fresh = element("p", "State of ", moment(now), id="fresh", class_="muted")
    links = element("nav", element("a", "Sessions", href=f"{FOLDER}sessions"), aria_label="Pages")
    return joined([name, element("p", mark, id="ready"), fresh, links if has_sessions else None])


# What needs attention


def _notices(found: dict[str, Any], now: float) -> Html:
    notices = [element("p", text, class_=f"notice {kind}") for kind, text in _warnings(found, now)]
    reload = found["config"]["last_reload"]
    if reload is not None and not reload["ok"]:
        told = f"The last reload, {ago(reload['at'], now)}, changed nothing: the configuration has errors."
        notices.append(element("div", element("p", told), _bullets(reload["errors"]), class_="notice bad"))
    return element("div", *notices, id="notices")


def _bullets(texts: Sequence[str]) -> Html:
    return element("ul", *(element("li", text) for text in texts[:MOST_ROWS]), class_="bullets")


def _warnings(found: dict[str, Any], now: float) -> Iterator[tuple[str, str]]:
    for reason in found["why_not_ready"]:
        yield "bad", reason
    for one in found["upstreams"] if found["ready"] else ():
        if one["ok"] is False:
            yield "warn", f"The XMPP server {one['address']} does not answer: {one['error']}."
    for one in found["workers"]:
        if one["native_disabled"]:
            yield "warn", f"Worker {one['slot']} uses no native functions, because the previous one crashed."
    if not found["certificates_current"]:
        yield "bad", "Changed certificate files cannot be used, and the previous ones stay. The log says why."
    for one in found["certificate_names"]:
        expires = min(each["expires"] for each in one["certificates"])
        if expires - now < SOON_DAYS * _DAY:
            yield "warn", f"The certificate for {_name(one['name'])} {_until(expires, now)}."


# The present, and the last hour


def _tiles(found: dict[str, Any], samples: Sequence[Sample]) -> Html:
    last = recent(samples)
    stanzas = last.stanzas_from_client + last.stanzas_to_client
    tiles = [
        ("Sessions", found["sessions"], f"{found['sessions_logged_in']} logged in"),
        ("Connections", found["connections"], "with those in a handshake"),
        ("Logins a second", rate(last.logins), "in the last minute"),
        ("Stanzas a second", rate(stanzas), f"{rate(last.stanzas_from_client)} from clients"),
        ("Loop delay", milliseconds(last.lag), "longest in the last minute"),
        ("Connect time", milliseconds(last.connect), "mean, to the XMPP server"),
        ("Running for", duration(found["uptime"]), _replaced(found["restarts"])),
    ]
    shown = [
        element("div", element("dt", name), element("dd", value), element("dd", note, class_="muted"))
        for name, value, note in tiles
    ]
    heading = element("h2", "Now", class_="visually-hidden", id="now-heading")
    return element("section", heading, element("dl", *shown, class_="tiles"), id="now")


def _replaced(restarts: int) -> str:
    return f"{restarts} workers replaced" if restarts else "no worker replaced"


def _hour(samples: Sequence[Sample], began: float, now: float) -> Html:
    since = "" if began < now - KEPT * INTERVAL else ", since wsgw was started or upgraded at "
    begun = clock(began) if since else None
    note = element("p", "A sample every five seconds", since, begun, ".", class_="muted", id="since")
    heads = (
        "until",
        "#sessions",
        "#logins a second",
        "#stanzas a second from clients",
        "#to clients",
        "#longest loop delay",
        "#mean time to connect",
        "#sessions ended",
        "#connections refused",
    )
    rows = [
        (
            clock(step.at),
            step.sessions,
            *map(rate, (step.logins, step.stanzas_from_client, step.stanzas_to_client)),
            *map(milliseconds, (step.lag, step.connect)),
            step.ended,
            step.refused,
        )
        for step in steps(samples)
    ]
    hour = table("The last hour in steps of five minutes", heads, rows)
    shown = hour if rows else element("p", "No sample yet: the first one follows within seconds.")
    return element(
        "section",
        element("div", element("h2", "Last hour"), note, class_="heading"),
        element("div", id="plots", class_="plots", data_kept=True),
        element("details", element("summary", "As a table"), shown, id="steps", class_="card", open=True),
        id="hour",
    )


# The tables


def _cards(found: dict[str, Any], now: float) -> Iterator[Html]:
    servers = _upstreams(found, now)
    yield _card("hosts", "Hosts", ("host", "#sessions"), _hosts(found))
    yield _card("upstreams", "XMPP servers", ("address", "state", "last attempt", "~error"), servers)
    heads: Sequence[str] = ("worker", "#process", "#sessions", "#memory", "running for", "#replaced")
    yield _card("workers", "Workers", heads, _workers(found, now))
    listeners = map(_listener_row, found["listeners"])
    yield _card("listeners", "Listeners", ("address", "module", "~paths", "TLS"), listeners)
    hits = [(name, hit["count"], ago(hit["at"], now)) for name, hit in found["limits_hit"].items()]
    yield _card("limits", "Limits reached", ("option", "#times", "last"), hits, "wide")
    heads = ("name", "left", "expires", "key", "~file")
    yield _card("certificates", "Certificates", heads, _certificates(found, now), "wide")
    yield _configuration(found, now)
    warnings = found["config"]["warnings"]
    parts = element("h2", "Warnings about the configuration"), _bullets(warnings)
    yield element("section", *parts, id="warnings", class_="card wide", hidden=not warnings)


def _causes(samples: Sequence[Sample]) -> Iterator[Html]:
    ended, refused = by_cause(samples)
    rows = [(cause, LABELS[cause].replace("`", ""), count) for cause, count in ended.items()]
    yield _card("ended", "Sessions ended in the last hour", ("cause", "~because", "#sessions"), rows)
    heads = ("reason", "#connections")
    yield _card("refused", "Connections refused in the last hour", heads, list(refused.items()))


def _card(name: str, title: str, heads: Sequence[str], rows: Iterable[_Row], kind: str = "") -> Html:
    """A box with a table, hidden without rows: a page always has the same boxes, at the same places."""
    shown = list(rows)
    more = len(shown) - MOST_ROWS
    rest = element("p", f"and {more} more, in /status.json", class_="muted") if more > 0 else None
    content = table(title, heads, shown[:MOST_ROWS])
    parts = element("h2", title), content, rest
    return element("section", *parts, id=name, class_=f"card {kind}".strip(), hidden=not shown)


def _configuration(found: dict[str, Any], now: float) -> Html:
    config, reload = found["config"], found["config"]["last_reload"]
    last = "never"
    if reload is not None:
        last = f"{ago(reload['at'], now)}, {'valid' if reload['ok'] else 'INVALID'}"
    source = config["source"] or "none: the command line"
    native = found["native"]
    functions = "native functions" if native["in_use"] else f"pure Python: {native['reason']}"
    known = [("file", source), ("last reload", last), ("frames and stanzas", functions)]
    facts = pairs(known, class_="facts")
    rows = [
        (one["option"], one["listener"] or "the gateway", one["value"], one["default"].replace("`", ""))
        for one in config["changed"]
    ]
    heads = ("option", "of", "~value", "~default")
    changed = table("Settings that are not the default", heads, rows[: 2 * MOST_ROWS])
    title = element("h2", "Configuration: what is not the default")
    return element("section", title, facts, changed if rows else None, id="configuration", class_="card wide")


def _hosts(found: dict[str, Any]) -> list[_Row]:
    hosts: dict[str, int] = found["hosts"]
    without = found["sessions_without_host"]
    rows = sorted(hosts.items(), key=lambda item: -item[1])
    return [*rows, *([("none yet", without)] if without else [])]


def _upstreams(found: dict[str, Any], now: float) -> Iterator[_Row]:
    states = {True: badge("good", "answers"), False: badge("bad", "fails"), None: badge("", "not tried")}
    for one in found["upstreams"]:
        at = ago(one["at"], now) if one["at"] is not None else ""
        yield one["address"], states[one["ok"]], at, one["error"]


def _workers(found: dict[str, Any], now: float) -> Iterator[_Row]:
    for one in found["workers"]:
        memory = "?" if one["memory"] is None else f"{one['memory'] >> 20} MiB"
        marks = [("leaving", one["leaving"]), ("pure Python", one["native_disabled"])]
        name = joined([str(one["slot"]), *(badge("warn", mark) for mark, holds in marks if holds)])
        age = duration(now - one["started_at"])
        yield name, one["pid"], one["sessions"], memory, age, one["restarts"]


def _certificates(found: dict[str, Any], now: float) -> Iterator[_Row]:
    for one in found["certificate_names"]:
        for each in one["certificates"]:
            days = (each["expires"] - now) / _DAY
            kind = "bad" if days < 3 else "warn" if days < SOON_DAYS else "good"
            left = badge(kind, f"{days:.0f} days" if days > 0 else "expired")
            yield _name(one["name"]), left, moment(each["expires"]), each["key_type"], each["file"]


def _name(name: str) -> str:
    return "all other names" if name == "*" else name


def _until(expires: float, now: float) -> str:
    left = expires - now
    return f"expires in {duration(left)}" if left > 0 else f"expired {duration(-left)} ago"


def _listener_row(one: dict[str, Any]) -> _Row:
    host = f"[{one['ip']}]" if ":" in one["ip"] else one["ip"]
    tls = "yes" if one.get("tls") else "no"
    return f"{host}:{one['port']}", one["module"], ", ".join(one.get("paths", ())), tls
