"""The state machine of one XMPP session: every state by every event, told as a dialogue."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.wire import CLOSE_7395, END, OPENINGS, SERVER_HEADER, SUCCESS
from wsgw.errors import CloseCode, Farewell, SessionError
from wsgw.stanzas.element import MAX_SIZE
from wsgw.websocket_xmpp import WebSocketXmpp, XmppLimits

LIMITS = XmppLimits(
    max_stanza_size=50_000, max_depth=5, max_attributes=3, open_timeout=10.0, auth_timeout=60.0
)
OPEN = OPENINGS["rfc7395"]
LEGACY = OPENINGS["legacy"]
UPSTREAM_HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>"
)
OPEN_ANSWER = (
    b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' id='s1' version='1.0' xml:lang='en'"
    b" from='localhost'/>"
)
FEATURES = b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></stream:features>"
ERROR = b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
FAULT = SessionError("internal-server-error", "ours", CloseCode.INTERNAL_ERROR, Farewell.FIN)


class Browser:
    """The WebSocket, as the XMPP side sees it."""

    def __init__(self) -> None:
        self.max_message_size = 10_000
        self.got: list[bytes] = []

    def send(self, text: bytes) -> None:
        self.got.append(text)

    def close(self, code: int, reason: str) -> None:
        self.got.append(f"Close {code} {reason}".rstrip().encode())


class Dialogue:
    """One machine and both its sides."""

    def __init__(self) -> None:
        self.browser = Browser()
        self.xmpp = WebSocketXmpp(
            self.browser,
            LIMITS,
            lambda to: to.lower() if to.lower() == "localhost" else None,
            0.0,
            lambda host: f"wss://{host}/ws",
        )

    def server_says(self, data: bytes) -> None:
        self.xmpp.upstream_data(data)
        self.xmpp.process_upstream(1000)

    def heard(self) -> tuple[list[bytes], bytes]:
        """What (browser, server) have got since the last time."""
        got = (list(self.browser.got), b"".join(self.xmpp.to_upstream))
        self.browser.got.clear()
        self.xmpp.to_upstream.clear()
        return got


def in_state(state: str, opening: bytes = OPEN) -> Dialogue:
    dialogue = Dialogue()
    if state == "wait_for_stream":
        return dialogue
    dialogue.xmpp.process_request(opening)
    if state != "wait_for_upstream":
        dialogue.xmpp.upstream_connected()
        dialogue.server_says(SERVER_HEADER + SUCCESS)
    if state == "closing":
        dialogue.xmpp.process_request(CLOSE_7395 if opening is OPEN else END)
    elif state == "closed":
        dialogue.xmpp.browser_lost("gone")
    dialogue.heard()
    assert dialogue.xmpp.state_name == state
    return dialogue


def fatal(condition: str, code: int, *, header: bool = False) -> list[bytes]:
    """Marks of what the browser hears with an error, in order."""
    marks = [b"<stream:error xmlns:stream", CLOSE_7395, f"Close {code} {condition}".encode()]
    return [b"<open xmlns=", *marks] if header else marks


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
    "server lost": lambda d: d.xmpp.upstream_lost("the XMPP server cannot be reached"),
    "browser lost": lambda d: d.xmpp.browser_lost("connection lost"),
    "fault": lambda d: d.xmpp.fail(FAULT),
}
STAY = ([], b"")
#: How a stream error for the server begins; its text is for people.
NOT_WELL_FORMED = b"<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text "
#: (state, event) → (next state, marks of what the browser hears, what the server hears).
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
#: Nothing is connected yet, so that the server cannot speak; and messages wait until it is.
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


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", STATES)
def test_table(state: str, event: str) -> None:
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
def test_closed_stays_closed(event: str) -> None:
    dialogue = in_state("closed")
    EVENTS[event](dialogue)
    assert dialogue.xmpp.state_name == "closed"
    assert dialogue.heard() == STAY
    assert dialogue.xmpp.cause == "gone"


def test_a_message_while_connecting_is_a_fault_of_ours() -> None:
    dialogue = in_state("wait_for_upstream")
    assert not dialogue.xmpp.ready
    with pytest.raises(AssertionError):
        dialogue.xmpp.process_request(b"<presence/>")


@pytest.mark.parametrize(
    ("first", "condition"),
    [
        (b"<message xmlns='jabber:client' to='a@localhost'><body>hi</body></message>", "bad-format"),
        (b"<message to='a@localhost'><body>hi</body></message>", "bad-format"),
        (b"<presence>hi</presence>", "bad-format"),
        (b"<iq type='get'><ping xmlns='urn:xmpp:ping'/>", "bad-format"),
        (b"<iq><a></b></iq>", "bad-format"),
        (b"<message><!-- x --></message>", "bad-format"),
        (b"<message/><message/>", "bad-format"),
        (b"<message/>text", "bad-format"),
        (b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>", "bad-format"),
        (b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'>x</close>", "bad-format"),
        (b"<open xmlns='jabber:client'><a/></open>", "invalid-namespace"),
        (b"<stream xmlns='jabber:client'><a/></stream>", "invalid-namespace"),
        (b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost'><a/></open>", "not-well-formed"),
        (b"<message", "not-well-formed"),
        (b"<message a='1' a='2'><body/></message>", "not-well-formed"),
        (b"<x:message><body/></x:message>", "not-well-formed"),
        (b"<!-- x --><message/>", "restricted-xml"),
        (b"text<message/>", "not-well-formed"),
    ],
)
def test_the_first_message_is_judged_by_its_name_first(first: bytes, condition: str) -> None:
    dialogue = Dialogue()
    dialogue.xmpp.process_request(first)
    browser, _ = dialogue.heard()
    assert browser[-1] == f"Close 1008 {condition}".encode()


@pytest.mark.parametrize(
    ("first", "legacy"),
    [
        (b"<stream:stream xmlns:stream='urn:x' to='a'>", True),
        (b"<s:stream to='a'>", True),
        (b"<stream xmlns='urn:x'/>", True),
        (b"<stream:stream", True),
        (b"<open xmlns='urn:x' to='stream'/>", False),
        (b"<message id='stream:stream'/>", False),
        (b"<x a='1' stream:stream=''/>", False),
        (b"<streams/>", False),
        (b"<opening xmlns='stream'/>", False),
    ],
)
def test_a_refused_opening_is_answered_in_its_own_framing(first: bytes, legacy: bool) -> None:
    dialogue = Dialogue()
    dialogue.xmpp.process_request(first)
    browser, _ = dialogue.heard()
    assert browser[0].startswith(b"<stream:stream " if legacy else b"<open "), browser
    assert browser[2] == (END if legacy else CLOSE_7395)


# -- RFC 7395 framing ----------------------------------------------------------------------------------


def test_opening_asks_for_the_normalised_domain() -> None:
    dialogue = Dialogue()
    dialogue.xmpp.process_request(OPEN.replace(b"localhost", b"LocalHost"))
    assert dialogue.xmpp.connect_to == "localhost"
    dialogue.xmpp.upstream_connected()
    assert b"to='LocalHost'" in dialogue.heard()[1]


@pytest.mark.parametrize(
    "opening",
    [
        b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'></open>",
        b'<open\n\txmlns="urn:ietf:params:xml:ns:xmpp-framing"\n to="localhost" version="1.0" />',
        b"<f:open xmlns:f='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>",
        b"<?xml version='1.0' encoding='UTF-8'?><open xmlns='urn:ietf:params:xml:ns:xmpp-framing'"
        b" to='localhost' version='1.0'/>",
    ],
)
def test_spellings_of_open(opening: bytes) -> None:
    dialogue = Dialogue()
    dialogue.xmpp.process_request(opening)
    dialogue.xmpp.upstream_connected()
    assert dialogue.heard()[1] == UPSTREAM_HEADER


def test_login_and_restart() -> None:
    dialogue = in_state("wait_for_upstream")
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER + FEATURES)
    assert dialogue.heard() == (
        [OPEN_ANSWER, FEATURES.replace(b">", b' xmlns:stream="http://etherx.jabber.org/streams">', 1)],
        UPSTREAM_HEADER,
    )
    assert dialogue.browser.max_message_size == 10_000
    dialogue.xmpp.process_request(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AGEAYg==</auth>")
    assert dialogue.heard() == ([], b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AGEAYg==</auth>")
    dialogue.server_says(SUCCESS)
    assert dialogue.heard() == ([SUCCESS], b"")
    assert dialogue.xmpp.authenticated
    assert dialogue.browser.max_message_size == LIMITS.max_stanza_size
    dialogue.xmpp.process_request(OPEN)
    assert dialogue.heard() == ([], UPSTREAM_HEADER)
    dialogue.server_says(SERVER_HEADER)
    assert dialogue.heard() == ([OPEN_ANSWER], b"")


def test_success_and_new_header_in_one_chunk() -> None:
    dialogue = in_state("wait_for_upstream")
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER + SUCCESS + SERVER_HEADER.replace(b"s1", b"s2"))
    assert dialogue.heard()[0] == [OPEN_ANSWER, SUCCESS, OPEN_ANSWER.replace(b"s1", b"s2")]


@pytest.mark.parametrize(
    "inside", [b"<a/>" * (MAX_SIZE // 4), b"<a xmlns='%s'/>" % (b"u" * 5000)], ids=["elements", "namespace"]
)
@pytest.mark.parametrize("name", [b"features", b"error"])
def test_what_takes_too_much_to_be_read_ends_the_session(name: bytes, inside: bytes) -> None:
    dialogue = in_state("loop")
    dialogue.server_says(b"<stream:%s>%s</stream:%s>" % (name, inside, name))
    browser, server = dialogue.heard()
    assert browser[-1] == b"Close 1011 remote-connection-failed"
    assert server == END


def test_whitespace_of_the_server_is_no_frame() -> None:
    dialogue = in_state("loop")
    dialogue.server_says(b" \n")
    assert dialogue.heard() == STAY


def test_what_came_before_the_fault_is_delivered() -> None:
    dialogue = in_state("loop")
    dialogue.server_says(b"<message/><a></b>")
    assert dialogue.heard()[0][0] == b"<message xmlns='jabber:client'/>"


@pytest.mark.parametrize("version", [b"2", b"3"])
def test_a_batch_ends_with_enabled(version: bytes) -> None:
    """What follows is for the next call, which is to come a little later."""
    dialogue = in_state("loop")
    enabled = b"<enabled xmlns='urn:xmpp:sm:%s'/>" % version
    dialogue.server_says(b"<message/>" + enabled + b"<message/>" * 2)
    assert dialogue.heard()[0] == [b"<message xmlns='jabber:client'/>", enabled]
    assert dialogue.xmpp.pauses
    assert dialogue.xmpp.process_upstream(1000) is False
    assert dialogue.heard()[0] == [b"<message xmlns='jabber:client'/>"] * 2

    dialogue.xmpp.pauses = False
    dialogue.xmpp.upstream_data(enabled)
    assert dialogue.xmpp.process_upstream(1000) is True, "nor is what comes next read before"
    assert dialogue.xmpp.pauses
    assert dialogue.xmpp.process_upstream(1000) is False


def test_upstream_is_processed_in_slices() -> None:
    dialogue = in_state("loop")
    dialogue.xmpp.upstream_data(b"<message/>" * 5 + END)
    assert dialogue.xmpp.process_upstream(3) is True
    assert len(dialogue.heard()[0]) == 3
    assert dialogue.xmpp.process_upstream(3) is False
    assert dialogue.heard()[0][2:] == [CLOSE_7395, b"Close 1000"]


@pytest.mark.parametrize(
    ("stanza", "condition"),
    [
        (b"<a><b><c><d><e><f/></e></d></c></b></a>", "policy-violation"),
        (b"<a b='1' c='2' d='3' e='4'/>", "policy-violation"),
        (b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>", "bad-format"),
    ],
)
def test_limits_of_a_stanza(stanza: bytes, condition: str) -> None:
    dialogue = in_state("loop")
    dialogue.xmpp.process_request(stanza)
    browser, server = dialogue.heard()
    assert browser[-1] == f"Close 1008 {condition}".encode()
    assert server.startswith(f"<stream:error><{condition}".encode())


def test_see_other_host_sends_the_browser_elsewhere() -> None:
    dialogue = in_state("wait_for_upstream")
    dialogue.xmpp.upstream_connected()
    dialogue.heard()
    other = b"<see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>node2.example</see-other-host>"
    dialogue.server_says(SERVER_HEADER + b"<stream:error>" + other + b"</stream:error>" + END)
    assert dialogue.heard() == (
        [
            OPEN_ANSWER,
            b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" see-other-uri="wss://node2.example/ws" />',
            b"Close 1000 see-other-host",
        ],
        END,
    )


def test_server_that_requires_starttls_cannot_be_used() -> None:
    dialogue = in_state("wait_for_upstream")
    dialogue.xmpp.upstream_connected()
    dialogue.heard()
    starttls = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
    dialogue.server_says(SERVER_HEADER + b"<stream:features>" + starttls + b"</stream:features>")
    browser, server = dialogue.heard()
    assert b"starttls://" in browser[1]
    assert browser[-1] == b"Close 1011 remote-connection-failed"
    assert server == END


# -- legacy framing --------------------------------------------------------------------------------------


def test_legacy_login_and_end() -> None:
    dialogue = in_state("wait_for_upstream", LEGACY)
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER + FEATURES + SUCCESS)
    header = SERVER_HEADER.partition(b"?>")[2]
    assert dialogue.heard() == (
        [header, FEATURES, SUCCESS],
        b"<?xml version='1.0'?>" + LEGACY.replace(b" />", b">"),
    )
    dialogue.xmpp.process_request(LEGACY)
    assert dialogue.heard()[1] == b"<?xml version='1.0'?>" + LEGACY.replace(b" />", b">")
    dialogue.xmpp.process_request(b"<presence/>")
    assert dialogue.heard()[1] == b"<presence/>"
    dialogue.server_says(b"<message/>")
    assert dialogue.heard()[0] == [b"<message/>"]
    dialogue.xmpp.process_request(END)
    assert dialogue.heard() == ([], END)
    dialogue.server_says(END)
    assert dialogue.heard() == ([END, b"Close 1000"], b"")


@pytest.mark.parametrize("blank", [b"", b" ", b"   "])
def test_blank_ping_is_answered(blank: bytes) -> None:
    dialogue = in_state("loop", LEGACY)
    dialogue.xmpp.process_request(blank)
    assert dialogue.heard() == ([b" "], b"")


@pytest.mark.parametrize("opening", [OPEN, LEGACY], ids=["rfc7395", "legacy"])
@pytest.mark.parametrize("text", [b"\x0c", b" \x0b ", b"</stream:stream\x0c>", b"</stream:stream>\x0b"])
def test_what_only_python_takes_for_white_space_is_none(text: bytes, opening: bytes) -> None:
    dialogue = in_state("loop", opening)
    dialogue.xmpp.process_request(text)
    assert dialogue.heard()[0][-1] == b"Close 1008 not-well-formed"


def test_end_tag_of_another_name_is_not_the_end() -> None:
    dialogue = in_state("loop", LEGACY)
    dialogue.xmpp.process_request(b"</stream:other>")
    assert dialogue.heard()[0][-1] == b"Close 1008 not-well-formed"


def test_header_with_a_prefix_of_its_own() -> None:
    dialogue = Dialogue()
    opening = b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' to='localhost'>"
    dialogue.xmpp.process_request(opening)
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER)
    assert dialogue.heard()[1] == b"<?xml version='1.0'?>" + opening
    dialogue.xmpp.process_request(b"</s:stream>")
    assert dialogue.heard()[1] == b"</s:stream>"


def test_legacy_error_at_open_is_three_messages() -> None:
    dialogue = Dialogue()
    dialogue.xmpp.process_request(LEGACY.replace(b"localhost", b"elsewhere"))
    header, error, end, close = dialogue.heard()[0]
    assert header.startswith(b"<stream:stream xmlns='jabber:client'")
    assert not header.endswith(b"/>")
    assert error.startswith(b"<stream:error><host-unknown xmlns=")
    assert (end, close) == (END, b"Close 1008 host-unknown")


# -- a later header is for the first one's domain ---------------------------------------------------------


@pytest.mark.parametrize("opening", [OPEN, LEGACY], ids=["rfc7395", "legacy"])
@pytest.mark.parametrize(
    "to", [b"elsewhere.example", b"localhost.", b"", b" localhost", b"localhost/x", b"&#10;"]
)
def test_a_later_header_cannot_move_to_another_domain(opening: bytes, to: bytes) -> None:
    dialogue = in_state("loop", opening)
    dialogue.xmpp.process_request(opening.replace(b"to='localhost'", b"to='%s'" % to))
    browser, server = dialogue.heard()
    if to == b"localhost.":
        assert (browser, dialogue.xmpp.state_name) == ([], "loop"), "the same domain in another spelling"
        return
    assert browser[-1] == b"Close 1008 host-unknown"
    assert server.startswith(b"<stream:error><host-unknown ")
    assert server.endswith(b"</stream:error>" + END)


def test_a_later_header_cannot_move_to_another_served_domain() -> None:
    dialogue = in_state("loop")
    dialogue.xmpp._serves = lambda to: to
    dialogue.xmpp.process_request(OPEN.replace(b"localhost", b"other.example"))
    assert dialogue.heard()[0][-1] == b"Close 1008 host-unknown"


@pytest.mark.parametrize("opening", [OPEN, LEGACY], ids=["rfc7395", "legacy"])
def test_a_later_header_without_to_is_for_the_first_ones_domain(opening: bytes) -> None:
    """The server, which may serve several, is told so."""
    dialogue = in_state("wait_for_upstream", opening.replace(b"localhost", b"LocalHost"))
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER + SUCCESS)
    first = dialogue.heard()[1]
    for _ in range(2):
        dialogue.xmpp.process_request(opening.replace(b" to='localhost'", b""))
        assert dialogue.heard() == ([], first)
    dialogue.xmpp.process_request(opening)
    assert dialogue.heard() == ([], first.replace(b"LocalHost", b"localhost"))


# -- login by other ways ---------------------------------------------------------------------------------


def test_non_sasl_login_counts() -> None:
    dialogue = in_state("wait_for_upstream", LEGACY)
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER)
    ask = b"<iq type='get' id='a1'><query xmlns='jabber:iq:auth'><username>a</username></query></iq>"
    dialogue.xmpp.process_request(ask)
    dialogue.server_says(b"<iq type='result' id='a1'><query xmlns='jabber:iq:auth'><password/></query></iq>")
    assert not dialogue.xmpp.authenticated
    dialogue.xmpp.process_request(
        b"<iq type='set' id='a2'><query xmlns='jabber:iq:auth'><username>a</username>"
        b"<password>x</password></query></iq>"
    )
    assert not dialogue.xmpp.authenticated
    dialogue.server_says(b"<iq type='result' id='a2'/>")
    assert dialogue.xmpp.authenticated


def before_login(opening: bytes = OPEN) -> Dialogue:
    dialogue = in_state("wait_for_upstream", opening)
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER + FEATURES)
    dialogue.heard()
    return dialogue


ATTEMPT = (
    b"<iq xmlns='jabber:client' type='set' id='result'><query xmlns='jabber:iq:auth'>"
    b"<username>admin</username><password>x</password><resource>r</resource></query></iq>"
)


def test_a_refused_login_leaves_every_limit_as_it_was() -> None:
    dialogue = before_login()
    dialogue.xmpp.process_request(ATTEMPT)
    dialogue.server_says(b"<iq type='error' id='result'><error type='auth'/></iq>")
    login = dialogue.xmpp.login
    assert (login.succeeded, login.jid, login.refused) == (False, "", 1)
    assert dialogue.browser.max_message_size == 10_000
    assert not dialogue.xmpp.at_rest
    dialogue.heard()
    dialogue.xmpp.tick(60.0, reading=True)
    assert dialogue.heard()[0][-1] == b"Close 1008 policy-violation"


@pytest.mark.parametrize("namespace", [b"jabber:client", b"jabber:server"])
def test_another_request_with_the_same_id_is_no_login(namespace: bytes) -> None:
    """Whatever its namespace: some server answers it."""
    dialogue = before_login()
    dialogue.xmpp.process_request(
        b"<iq xmlns='%s' type='get' id='result'><query xmlns='jabber:iq:register'/></iq>" % namespace
    )
    dialogue.xmpp.process_request(ATTEMPT)
    dialogue.server_says(b"<iq type='result' id='result'/><iq type='error' id='result'/>")
    assert not dialogue.xmpp.authenticated


def test_sasl2_success_counts() -> None:
    dialogue = in_state("wait_for_upstream")
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER + b"<success xmlns='urn:xmpp:sasl:2'/>")
    assert dialogue.xmpp.authenticated


# -- deadlines -------------------------------------------------------------------------------------------


def test_no_stream_in_time() -> None:
    dialogue = Dialogue()
    dialogue.xmpp.tick(9.9, reading=True)
    assert dialogue.heard() == STAY
    dialogue.xmpp.tick(10.0, reading=True)
    assert dialogue.heard()[0][-1] == b"Close 1000 connection-timeout"


def test_no_login_in_time() -> None:
    dialogue = in_state("wait_for_upstream")
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER + FEATURES)
    dialogue.heard()
    dialogue.xmpp.tick(59.9, reading=True)
    assert dialogue.heard() == STAY
    dialogue.xmpp.tick(60.0, reading=True)
    browser, server = dialogue.heard()
    assert browser[-1] == b"Close 1008 policy-violation"
    assert server.endswith(b"</stream:error>" + END)


REGISTER = b"<iq xmlns='jabber:client' type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>"
FORM = b"<iq type='result' id='r1'><query xmlns='jabber:iq:register'><username/></query></iq>"


def test_a_result_before_the_login_restarts_its_deadline() -> None:
    """A person fills in a registration form; in all it is five times as long at most."""
    dialogue = before_login()
    for now in (59.0, 118.0, 177.0, 236.0, 299.0):
        dialogue.xmpp.process_request(REGISTER)
        dialogue.server_says(FORM)
        dialogue.xmpp.tick(now, reading=True)
        assert dialogue.xmpp.state_name == "loop"
    dialogue.heard()
    dialogue.xmpp.tick(299.9, reading=True)
    assert dialogue.heard() == STAY
    dialogue.xmpp.process_request(REGISTER)
    dialogue.server_says(FORM)
    dialogue.xmpp.tick(300.0, reading=True)
    assert dialogue.heard()[0][-1] == b"Close 1008 policy-violation"


def test_the_restarted_deadline_ends_too() -> None:
    dialogue = before_login()
    dialogue.xmpp.process_request(REGISTER)
    dialogue.server_says(FORM)
    dialogue.xmpp.tick(30.0, reading=True)
    dialogue.heard()
    dialogue.xmpp.tick(89.9, reading=True)
    assert dialogue.heard() == STAY
    dialogue.xmpp.tick(90.0, reading=True)
    assert dialogue.heard()[0][-1] == b"Close 1008 policy-violation"


@pytest.mark.parametrize(
    "answer",
    [
        FORM.replace(b"result", b"error"),
        FORM.replace(b"r1", b"unasked"),
        b"<message id='r1' type='result'/>",
        b"<x xmlns='u'>" + FORM + b"</x>",
    ],
    ids=["error", "unasked", "message", "inside"],
)
def test_what_restarts_no_deadline(answer: bytes) -> None:
    dialogue = before_login()
    dialogue.xmpp.process_request(REGISTER)
    dialogue.server_says(answer)
    dialogue.xmpp.tick(59.0, reading=True)
    dialogue.heard()
    dialogue.xmpp.tick(60.0, reading=True)
    assert dialogue.heard()[0][-1] == b"Close 1008 policy-violation"


def test_login_has_no_deadline_left() -> None:
    dialogue = in_state("loop")
    dialogue.xmpp.tick(1e9, reading=True)
    assert dialogue.heard() == STAY


def test_server_has_two_seconds_to_answer_the_end() -> None:
    dialogue = in_state("closing")
    dialogue.xmpp.tick(100.0, reading=True)
    dialogue.xmpp.tick(101.9, reading=True)
    assert dialogue.heard() == STAY
    dialogue.xmpp.tick(102.0, reading=True)
    assert dialogue.heard() == ([CLOSE_7395, b"Close 1000"], b"")


def test_what_one_client_may_send_another_may_receive() -> None:
    """The server adds a little to a stanza; its limit grows with the clients'."""
    browser = Browser()
    limits = LIMITS._replace(max_stanza_size=10 * 1024 * 1024)
    xmpp = WebSocketXmpp(browser, limits, lambda to: to, 0.0)
    xmpp.process_request(OPEN)
    xmpp.upstream_connected()
    stanza = b"<message from='a@localhost'><body>%s</body></message>" % (b"x" * limits.max_stanza_size)
    xmpp.upstream_data(SERVER_HEADER + stanza)
    xmpp.process_upstream(10)
    assert [len(text) for text in browser.got][1] == len(stanza) + len(" xmlns='jabber:client'")


def test_the_wait_for_the_answer_rests_while_the_server_is_not_read() -> None:
    """A slow browser pauses the server; its answer may be lying there already."""
    dialogue = in_state("closing")
    dialogue.xmpp.tick(100.0, reading=True)
    dialogue.xmpp.tick(110.0, reading=False)
    dialogue.xmpp.tick(111.9, reading=True)
    assert dialogue.heard() == STAY
    dialogue.xmpp.tick(112.0, reading=True)
    assert dialogue.heard() == ([CLOSE_7395, b"Close 1000"], b"")
