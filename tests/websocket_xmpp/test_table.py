"""Every state with every event."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.wire import CLOSE_7395, END
from tests.websocket_xmpp.dialogue import (
    ERROR,
    FAULT,
    NOT_WELL_FORMED,
    OPEN,
    STAY,
    UPSTREAM_HEADER,
    Dialogue,
    fatal,
    in_state,
)
from wsgw.errors import causes

Event = Callable[[Dialogue], None]
EVENTS: dict[str, Event] = {
    "open": lambda d: d.xmpp.process_request(OPEN),
    "stanza": lambda d: d.xmpp.process_request(b"<presence xmlns='jabber:client'/>"),
    "blank": lambda d: d.xmpp.process_request(b"  "),
    "close": lambda d: d.xmpp.process_request(CLOSE_7395),
    "garbage": lambda d: d.xmpp.process_request(b"garbage"),
    "connected": lambda d: d.xmpp.upstream_connected(),
    "server stanza": lambda d: d.server_says(b"<message/>"),
    "server error": lambda d: d.server_says(ERROR),
    "server end": lambda d: d.server_says(END),
    "server garbage": lambda d: d.server_says(b"<a></b>"),
    "server lost": lambda d: d.xmpp.upstream_lost(causes.UPSTREAM_UNREACHABLE),
    "browser lost": lambda d: d.xmpp.browser_lost(causes.BROWSER_LOST),
    "fault": lambda d: d.xmpp.fail(FAULT),
}

#: (state, event) → (next state, marks of the messages to the browser, bytes to the server).
TABLE: dict[tuple[str, str], tuple[str, list[bytes], bytes]] = {
    ("wait_for_stream", "open"): ("wait_for_upstream", *STAY),
    ("wait_for_stream", "stanza"): ("closed", fatal("bad-format", 1008, header=True), b""),
    ("wait_for_stream", "blank"): ("wait_for_stream", *STAY),
    ("wait_for_stream", "close"): ("closed", fatal("bad-format", 1008, header=True), b""),
    ("wait_for_stream", "garbage"): ("closed", fatal("not-well-formed", 1008, header=True), b""),
    ("wait_for_stream", "connected"): ("wait_for_stream", *STAY),
    ("wait_for_stream", "server lost"): ("closed", fatal("remote-connection-failed", 1011, header=True), b""),
    ("wait_for_stream", "browser lost"): ("closed", *STAY),
    ("wait_for_stream", "fault"): ("closed", fatal("internal-server-error", 1011, header=True), b""),
    ("wait_for_upstream", "connected"): ("loop", [], UPSTREAM_HEADER),
    ("wait_for_upstream", "server lost"): (
        "closed",
        fatal("remote-connection-failed", 1011, header=True),
        b"",
    ),
    ("wait_for_upstream", "browser lost"): ("closed", *STAY),
    ("wait_for_upstream", "fault"): ("closed", fatal("internal-server-error", 1011, header=True), b""),
    ("loop", "open"): ("loop", [], UPSTREAM_HEADER),
    ("loop", "stanza"): ("loop", [], b"<presence xmlns='jabber:client'/>"),
    ("loop", "blank"): ("loop", *STAY),
    ("loop", "close"): ("closing", [], END),
    ("loop", "garbage"): ("closed", fatal("not-well-formed", 1008), NOT_WELL_FORMED),
    ("loop", "connected"): ("loop", *STAY),
    ("loop", "server stanza"): ("loop", [b"<message xmlns='jabber:client'/>"], b""),
    ("loop", "server error"): (
        "closed",
        [b"<stream:error xmlns:stream", CLOSE_7395, b"Close 1000 conflict"],
        END,
    ),
    ("loop", "server end"): ("closed", [CLOSE_7395, b"Close 1000"], END),
    ("loop", "server garbage"): ("closed", fatal("remote-connection-failed", 1011), END),
    ("loop", "server lost"): ("closed", fatal("remote-connection-failed", 1011), b""),
    ("loop", "browser lost"): ("closed", *STAY),
    ("loop", "fault"): ("closed", fatal("internal-server-error", 1011), b""),
    ("closing", "open"): ("closing", *STAY),
    ("closing", "stanza"): ("closing", *STAY),
    ("closing", "blank"): ("closing", *STAY),
    ("closing", "close"): ("closing", *STAY),
    ("closing", "garbage"): ("closing", *STAY),
    ("closing", "connected"): ("closing", *STAY),
    ("closing", "server stanza"): ("closing", [b"<message xmlns='jabber:client'/>"], b""),
    ("closing", "server error"): (
        "closed",
        [b"<stream:error xmlns:stream", CLOSE_7395, b"Close 1000 conflict"],
        b"",
    ),
    ("closing", "server end"): ("closed", [CLOSE_7395, b"Close 1000"], b""),
    ("closing", "server garbage"): ("closed", fatal("remote-connection-failed", 1011), b""),
    ("closing", "server lost"): ("closed", [CLOSE_7395, b"Close 1000"], b""),
    ("closing", "browser lost"): ("closed", *STAY),
    ("closing", "fault"): ("closed", fatal("internal-server-error", 1011), b""),
}
#: Without an upstream connection the server cannot send, and the client's messages wait.
IMPOSSIBLE = {
    *(
        ("wait_for_stream", event)
        for event in EVENTS
        if event.startswith("server") and event != "server lost"
    ),
    *(("wait_for_upstream", event) for event in ("open", "stanza", "blank", "close", "garbage")),
    *(
        ("wait_for_upstream", event)
        for event in EVENTS
        if event.startswith("server") and event != "server lost"
    ),
}
STATES = ("wait_for_stream", "wait_for_upstream", "loop", "closing")


@pytest.mark.rule("6120-4.9.3", "end-fault")
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_each_cell_of_the_table(state: str, event: str) -> None:
    if (state, event) in IMPOSSIBLE:
        assert (state, event) not in TABLE
        return
    dialogue = in_state(state)
    EVENTS[event](dialogue)
    browser, server = dialogue.heard()
    next_state, marks, expected_server = TABLE[state, event]
    assert dialogue.xmpp.state_name == next_state
    assert len(browser) == len(marks), browser
    assert [got for got, mark in zip(browser, marks, strict=True) if not got.startswith(mark)] == []
    if expected_server is NOT_WELL_FORMED:
        assert server.startswith(expected_server)
        assert server.endswith(b"</stream:error>" + END)
    else:
        assert server == expected_server
    assert dialogue.xmpp.upstream_finished == (next_state == "closed")


@pytest.mark.parametrize("event", EVENTS)
def test_a_closed_machine_stays_closed(event: str) -> None:
    dialogue = in_state("closed")
    EVENTS[event](dialogue)
    assert dialogue.xmpp.state_name == "closed"
    assert dialogue.heard() == STAY
    assert dialogue.xmpp.ending.cause is causes.NO_PONG


def test_a_message_while_connecting_is_a_fault() -> None:
    dialogue = in_state("wait_for_upstream")
    assert not dialogue.xmpp.ready
    with pytest.raises(AssertionError):
        dialogue.xmpp.process_request(b"<presence/>")
