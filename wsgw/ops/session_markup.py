"""The markup of the pages about sessions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from wsgw.ops.markup import Html, element, joined, pairs, table
from wsgw.ops.page_frame import FOLDER, badge, clock, duration, frame, moment
from wsgw.ops.session_queries import Document

#: How long a trace may be switched on: seconds, and words.
_TRACE_TIMES: Final = ((60, "1 minute"), (300, "5 minutes"), (900, "15 minutes"))


def login_page(back: str, error: str, version: str) -> Html:
    """The form for the token; ``back`` is the path that follows."""
    form = element(
        "form",
        element("label", "Token of this listener", for_="token"),
        element(
            "input", type="password", id="token", name="token", required=True, autocomplete="current-password"
        ),
        element("input", type="hidden", name="back", value=back),
        element("button", "Log in", type="submit", class_="primary"),
        method="post",
        action=f"{FOLDER}login",
        class_="form",
    )
    told = "JIDs and addresses of users are shown only with the token, an option of the wsgw_admin listener."
    content = element(
        "section",
        element("h2", "Sessions"),
        element("p", error, class_="notice bad", role="alert") if error else None,
        element("p", told, class_="muted"),
        form,
        class_="card narrow",
    )
    return frame("wsgw: log in", _bar(logged_in=False), content, version=version, script=None)


def table_page(found: Document, version: str) -> Html:
    """The page with the table ``found`` of sessions."""
    search = element(
        "form",
        element("label", "JID, address, host or number of the connection", for_="words"),
        element(
            "div",
            element("input", type="search", id="words", name="q", value=found["words"]),
            element("button", "Search", type="submit"),
            class_="row",
        ),
        method="get",
        action=f"{FOLDER}sessions",
        role="search",
        class_="form",
    )
    heads = ("connection", "~JID", "client", "host", "state", "framing", "#from client", "#to client", "for")
    rows = [
        (
            _link(str(line["connection"]), "session", id=line["connection"]),
            line["jid"] or "–",
            line["client"],
            line["host"] or "–",
            line["state"],
            line["framing"] or "–",
            line["stanzas_from_client"],
            line["stanzas_to_client"],
            duration(line["duration"]),
        )
        for line in found["sessions"]
    ]
    shown = table("Sessions", heads, rows) if rows else element("p", "No session matches.")
    content = joined(
        [
            *_silent(found["silent_workers"]),
            element("section", search, class_="card"),
            element("section", element("h2", _count(found)), shown, _pages(found), class_="card"),
        ]
    )
    return frame("wsgw: sessions", _bar(logged_in=True), content, version=version, script="sessions.js")


def session_page(
    connection: int,
    found: Document | None,
    silent: Sequence[int],
    error: str,
    version: str,
    now: float,
) -> Html:
    """The page of one session. ``found``: the answer of its worker, None if no worker knows it.

    ``silent``: the workers that have not answered. ``now``: seconds since the epoch.
    """
    session = found["session"] if found is not None else None
    notice = element("p", error, class_="notice bad", role="alert") if error else None
    lines = found["lines"] if found is not None else None
    if session is None:
        what = element("p", "This session has ended, or has never been.", class_="notice warn")
        told = list(_silent(silent)) if found is None and silent else [what]
        parts = [notice, element("h2", f"Connection {connection}"), *told, _lines(lines)]
    else:
        title = session["jid"] or "no JID yet"
        heading = element("div", element("h2", title), element("p", _marks(session)), class_="heading")
        cards = element("div", *_facts(session, now), class_="cards three")
        trace = _trace(connection, found["traced_for"] if found is not None else 0)
        parts = [notice, heading, cards, trace, _lines(lines)]
    title = f"wsgw: connection {connection}"
    return frame(title, _bar(logged_in=True), joined(parts), version=version, script="sessions.js")


def _bar(*, logged_in: bool) -> Html:
    name = element("h1", element("img", src=f"{FOLDER}icon.svg", alt=""), "wsgw")
    log_out = element(
        "form", element("button", "Log out", type="submit"), method="post", action=f"{FOLDER}logout"
    )
    links = [
        element("a", "Status", href=FOLDER.rstrip("/")),
        element("a", "Sessions", href=f"{FOLDER}sessions"),
        log_out if logged_in else None,
    ]
    return joined([name, element("nav", *links, aria_label="Pages")])


def _link(text: str, page: str, **query: object) -> Html:
    return element("a", text, href=f"{FOLDER}{page}?{urlencode(query)}")


# The table


def _silent(slots: Sequence[int]) -> Iterator[Html]:
    for slot in slots:
        yield element(
            "p", f"Worker {slot} has not answered: its sessions are not known.", class_="notice warn"
        )


def _count(found: Document) -> str:
    number = found["matching"]
    return f"{number} {'session' if number == 1 else 'sessions'}" + (" found" if found["words"] else "")


def _pages(found: Document) -> Html | None:
    links = []
    if found["after"]:
        links.append(_link("First page", "sessions", q=found["words"]))
    if found["next"] is not None:
        links.append(_link("Next page", "sessions", q=found["words"], after=found["next"]))
    return element("nav", *links, aria_label="Pages of the table", class_="row") if links else None


# One session


def _marks(session: Document) -> Html:
    states = {
        "logged in": session["logged_in"],
        "resumed": session["resumed"],
        "can be resumed": session["resumable"],
    }
    marks = [badge("good" if mark == "logged in" else "", mark) for mark, is_so in states.items() if is_so]
    return joined([*marks, badge("warn", "one side is not read")] if session["paused"] else marks)


def _facts(session: Document, now: float) -> Iterator[Html]:
    began = joined([moment(now - session["duration"]), f", {duration(session['duration'])} ago"])
    ping = session["last_ping"]
    yield _card(
        "Client",
        [
            ("connection", session["connection"]),
            ("address", session["client"]),
            ("through the proxy", session["proxy"]),
            ("began", began),
            ("port", session["port"]),
            ("TLS", session["tls"] or "none"),
            ("certificate's name", session["common_name"]),
            ("host name", session["authority"]),
            ("request ID", session["request_id"]),
            ("last ping took", f"{ping * 1000:.1f} ms" if ping is not None else None),
        ],
    )
    yield _card(
        "Stream",
        [
            ("host", session["host"] or "none yet"),
            ("framing", session["framing"] or "none yet"),
            ("XMPP server", session["upstream"] or "not connected"),
            ("TLS to it", session["upstream_tls"] or "none"),
            *((f"state of {name}", state) for name, state in session["states"].items()),
        ],
    )
    rows = [
        ("stanzas", session["stanzas_from_client"], session["stanzas_to_client"]),
        ("frames", session["frames_from_browser"], session["frames_to_browser"]),
        ("bytes at the browser", session["bytes_from_browser"], session["bytes_to_browser"]),
        ("bytes at the XMPP server", session["bytes_to_upstream"], session["bytes_from_upstream"]),
        ("bytes queued", session["queued_to_upstream"], session["queued_to_browser"]),
    ]
    counts = table("Traffic of the session", ("count of", "#from the client", "#to the client"), rows)
    yield element("section", element("h2", "Traffic"), counts, class_="card")


def _card(title: str, facts: list[tuple[str, Any]]) -> Html:
    known = [(name, value) for name, value in facts if value is not None]
    return element("section", element("h2", title), pairs(known, class_="list"), class_="card")


def _trace(connection: int, traced_for: int) -> Html:
    options = [element("option", words, value=seconds) for seconds, words in _TRACE_TIMES]
    switch = element(
        "form",
        element("input", type="hidden", name="id", value=connection),
        element("label", "Trace this session for", for_="seconds"),
        element(
            "div",
            element("select", *options, id="seconds", name="seconds"),
            element("button", "Trace", type="submit", class_="primary"),
            class_="row",
        ),
        method="post",
        action=f"{FOLDER}trace",
        class_="form",
    )
    stop = element(
        "form",
        element("input", type="hidden", name="id", value=connection),
        element("input", type="hidden", name="seconds", value=0),
        element("button", "Stop the trace", type="submit"),
        method="post",
        action=f"{FOLDER}trace",
    )
    left = element("p", badge("warn", "traced"), f" for {duration(traced_for)} more.") if traced_for else None
    told = (
        "A trace shows each frame and stanza with name, namespace, type, id and size, without content."
        " The log has the same lines."
    )
    return element(
        "section",
        element("h2", "Trace"),
        element("p", told, class_="muted"),
        left,
        stop if traced_for else switch,
        class_="card",
    )


def _lines(lines: list[tuple[float, str]] | None) -> Html | None:
    """The lines of the trace, the latest first; without number and address, which all have in common."""
    if lines is None:
        return None
    rows = [
        element("li", clock(at, seconds=True), " ", _without_client(text)) for at, text in reversed(lines)
    ]
    label = "Trace, the latest line first"
    shown = element("div", element("ol", *rows), class_="trace", role="region", aria_label=label, tabindex=0)
    none = element("p", "No line yet.")
    return element("section", element("h2", "Lines of the trace"), shown if rows else none, class_="card")


def _without_client(text: str) -> str:
    return text.partition(" ")[2].partition(" ")[2]
