"""A session in each of its states, and the events that it can get."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.wire import BINARY, CLOSE, PING, PONG, TEXT, frame
from wsgw.errors import SessionError
from wsgw.errors.causes import Cause, Ending
from wsgw.websocket_session import Timers, WebSocketSession

TIMERS = Timers(ping_interval=30, pong_timeout=20, idle_timeout=300, close_timeout=5)
HEADERS = (
    ("Host", "localhost"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Protocol", "xmpp"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)


class XmppSide:
    """Notes the calls of the session; ``fail`` acts on the WebSocket as the real one does."""

    def __init__(self, session: WebSocketSession) -> None:
        self.ready = True
        self.told: list[str] = []
        self._session = session

    def process_request(self, text: bytes) -> None:
        self.told.append(f"text {text.decode()}")

    def process_stanzas(self, elements: bytes, stanzas: int) -> None:
        self.told.append(f"{stanzas} stanzas {elements.decode()}")

    def browser_lost(self, cause: Cause, detail: str = "") -> None:
        self.told.append(f"lost {Ending(cause, detail)}")

    def fail(self, error: SessionError) -> None:
        self.told.append(f"fail {error.condition}")
        self._session.close(error.code, error.condition)


def session_in(state: str, timers: Timers = TIMERS) -> tuple[WebSocketSession, XmppSide]:
    """A session in ``state``, with no bytes left to send."""
    session = WebSocketSession(timers, 1000)
    xmpp = XmppSide(session)
    if state == "ws_handshake_request":
        return session, xmpp
    session.http_request("GET", "/ws-xmpp", (1, 1))
    if state == "ws_handshake_header":
        return session, xmpp
    for name, value in HEADERS:
        session.http_header(name, value)
    session.http_eoh(lambda _segments: True, ())
    session.attach(xmpp, 0.0)
    if state == "ws_closing":
        session.close(1000, "")
    elif state == "ws_closed":
        session.lost()
    session.data_to_send.clear()
    xmpp.told.clear()
    assert session.state_name == state
    return session, xmpp


def receive(data: bytes) -> Callable[[WebSocketSession], None]:
    def event(session: WebSocketSession) -> None:
        session.receive_data(data, 1.0)
        session.process(100)

    return event


EVENTS: dict[str, Callable[[WebSocketSession], None]] = {
    "text": receive(frame(b"<a/>", TEXT)),
    "binary": receive(frame(b"<a/>", BINARY)),
    "ping": receive(frame(b"p", PING)),
    "pong": receive(frame(b"p", PONG)),
    "close": receive(frame(b"\x0b\xb9bye", CLOSE)),
    "empty close": receive(frame(b"", CLOSE)),
    "bad frame": receive(frame(b"<a/>", masked=False)),
    "bad text": receive(frame(b"\xff")),
    "big text": receive(frame(b"x" * 1001)),
    "send": lambda session: session.send(b"<b/>"),
    "xmpp close": lambda session: session.close(1008, "why"),
    "lost": lambda session: session.lost(),
}
