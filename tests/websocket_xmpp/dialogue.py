"""One machine with both its sides, for tests written as a dialogue."""

from __future__ import annotations

from tests.fuzz.oracles import server_frames
from tests.support.wire import CLOSE_7395, END, OPENINGS, SERVER_HEADER, SUCCESS
from wsgw.errors import CloseCode, Farewell, SessionError, causes
from wsgw.websocket_xmpp import WebSocketXmpp, XmppLimits

LIMITS = XmppLimits(
    max_stanza_size=50_000,
    max_depth=5,
    max_attributes=3,
    open_timeout=10.0,
    auth_timeout=60.0,
    idle_timeout=300.0,
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
FAULT = SessionError(causes.FAULT, code=CloseCode.INTERNAL_ERROR, farewell=Farewell.FIN)


class Browser:
    """The WebSocket, as the XMPP side sees it."""

    def __init__(self) -> None:
        self.max_message_size = 10_000
        self.stanza_bounds: tuple[int, int, int] | None = None
        self.got: list[bytes] = []

    def send(self, text: bytes) -> None:
        self.got.append(text)

    def send_frames(self, data: bytes) -> None:
        self.got += [payload for _, payload in server_frames(data)]

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
        """The bytes that (browser, server) have got since the previous call."""
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
        dialogue.xmpp.browser_lost(causes.NO_PONG)
    dialogue.heard()
    assert dialogue.xmpp.state_name == state
    return dialogue


def fatal(condition: str, code: int, *, header: bool = False) -> list[bytes]:
    """Marks of the messages that the browser gets with an error, in order."""
    marks = [b"<stream:error xmlns:stream", CLOSE_7395, f"Close {code} {condition}".encode()]
    return [b"<open xmlns=", *marks] if header else marks


STAY: tuple[list[bytes], bytes] = ([], b"")
#: The beginning of a stream error for the server; its text is for people.
NOT_WELL_FORMED = b"<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text "


def before_login(opening: bytes = OPEN) -> Dialogue:
    dialogue = in_state("wait_for_upstream", opening)
    dialogue.xmpp.upstream_connected()
    dialogue.server_says(SERVER_HEADER + FEATURES)
    dialogue.heard()
    return dialogue
