"""The state machine of one WebSocket: upgrade, messages, pings, the closing handshake.

Events go in through public methods, and bytes come out in ``data_to_send``. The machine uses no socket and no
clock: the caller passes ``now`` (seconds, monotonic). Text messages go to the XMPP side (``websocket_xmpp``),
which answers with ``send`` and ``close``.

Each state is a method that takes the next event; ``states`` has the table of transitions. The packet types
of the original's ``socket_async`` are not ported: pywsgi reads the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from wsgw.errors import CloseCode, Farewell, HandshakeRefused, SessionError, WebSocketViolation, causes
from wsgw.opening.request import UpgradeRequest, judge
from wsgw.websocket_frame import (
    FRAGMENT,
    STANZAS,
    Opcode,
    make,
    make_close,
    make_ping,
    parse_close,
    parser_for_xmpp,
)
from wsgw.websocket_session.browser_queue import BLANK, NO_CONNECTION, BrowserQueue, Connection
from wsgw.websocket_session.sides import NO_XMPP, Event, Frames, Timers, XmppSide

_FRAME_EVENTS: dict[int, Event] = {
    opcode: Event(opcode) for opcode in Opcode if opcode != Opcode.CONTINUATION
}
_TEXT = int(Opcode.TEXT)


class WebSocketSession:
    """One WebSocket, server side."""

    __slots__ = (
        "_answered_after",
        "_held",
        "_last_received",
        "_last_sent",
        "_parser",
        "_ping_sent",
        "_queue",
        "_request",
        "_request_headers",
        "_state",
        "_timers",
        "_wait_until",
        "_xmpp",
        "close_code",
        "data_to_send",
        "due",
        "finished",
        "frames_received",
        "on_enter",
        "ping_time",
    )

    def __init__(self, timers: Timers, max_message_size: int) -> None:
        #: Bytes for the browser, in order; the owner sends them and empties the list.
        self.data_to_send: list[bytes] = []
        #: The owner must close the connection, after it has sent ``data_to_send``.
        self.finished = False
        #: The code of the Close frame that wsgw sent, 0 before.
        self.close_code = 0
        #: While messages flow and the browser is read, ``tick`` has nothing to do before this moment
        #: (seconds, monotonic).
        self.due = 0.0
        #: Number of complete frames received so far.
        self.frames_received = 0
        #: Seconds until the last ping was answered; the owner counts and resets it.
        self.ping_time: float | None = None
        self._timers = timers
        self._parser: Frames = parser_for_xmpp(max_message_size)
        self._xmpp: XmppSide = NO_XMPP
        self._queue = BrowserQueue(NO_CONNECTION)
        #: A message that arrived while the XMPP side was not ready.
        self._held: tuple[int, bytes] | None = None
        self._request: tuple[str, str, tuple[int, int]] | None = None
        self._request_headers: list[tuple[str, str]] = []
        self._last_received = self._last_sent = 0.0
        self._ping_sent: float | None = None
        self._answered_after: float | None = None
        self._wait_until = 0.0
        #: Called with the name of each state that is entered; None unless the session is traced.
        self.on_enter: Callable[[str], None] | None = None
        self._state: Callable[[WebSocketSession, Event, bytes], None] = WebSocketSession.ws_handshake_request

    @property
    def state_name(self) -> str:
        """The name of the state, as in the original."""
        return self._state.__name__

    def _enter(self, state: Callable[[WebSocketSession, Event, bytes], None]) -> None:
        self._state = state
        if self.on_enter is not None:
            self.on_enter(state.__name__)

    # -- the upgrade ---------------------------------------------------------------------------

    def http_request(self, method: str, target: str, version: tuple[int, int]) -> None:
        """Take the request line."""
        self._request = (method, target, version)
        self._enter(WebSocketSession.ws_handshake_header)

    def http_header(self, name: str, value: str) -> None:
        """Take one header line; in order, repeats kept."""
        self._request_headers.append((name.lower(), value))

    def http_eoh(
        self,
        is_served: Callable[[tuple[str, ...]], bool],
        allowed_origins: Iterable[str],
    ) -> str:
        """Take the end of the headers; check the request and return the client's Sec-WebSocket-Key.

        The arguments are those of ``request.judge``. Raises HandshakeRefused or PlainRequest.
        """
        assert self._request is not None
        request = UpgradeRequest(*self._request, self._request_headers)
        self._request, self._request_headers = None, []
        try:
            key = judge(request, is_served, allowed_origins)
        except HandshakeRefused:
            self._finish()
            raise
        self._enter(WebSocketSession.ws_session)
        return key

    # -- input ---------------------------------------------------------------------------------

    def attach(self, xmpp: XmppSide, now: float, connection: Connection | None = None) -> None:
        """After the 101: messages go to ``xmpp``; ``connection`` tells what the browser has taken."""
        self._xmpp = xmpp
        if connection is not None:
            self._queue = BrowserQueue(connection)
        self._last_received = self._last_sent = now

    def rewire(self, frames: Callable[[Frames], Frames]) -> None:
        """Replace the source of frames by ``frames(source)``: a trace wraps and unwraps it."""
        bounds = self._parser.stanza_bounds
        self._parser = frames(self._parser)
        self._parser.stanza_bounds = bounds

    def detach(self) -> None:
        """The session is over: drop the XMPP side and the connection."""
        self._xmpp = NO_XMPP
        self._queue = BrowserQueue(NO_CONNECTION)

    @property
    def max_message_size(self) -> int:
        """Bytes that one message may have; may be changed while the session runs."""
        return self._parser.max_message_size

    @max_message_size.setter
    def max_message_size(self, size: int) -> None:
        self._parser.max_message_size = size

    @property
    def stanza_bounds(self) -> tuple[int, int, int] | None:
        """The bounds of the common stanzas that the XMPP side takes together; None: it takes none so."""
        return self._parser.stanza_bounds

    @stanza_bounds.setter
    def stanza_bounds(self, bounds: tuple[int, int, int] | None) -> None:
        self._parser.stanza_bounds = bounds

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes from the browser; ``process`` handles them."""
        self._last_received = now
        if self._ping_sent is not None:  # any byte proves as much as a pong that the browser is alive
            self._answered_after, self._ping_sent = now - self._ping_sent, None
        self._parser.feed(data)

    def process(self, limit: int) -> bool:
        """Handle up to ``limit`` frames; return whether more may wait, maybe for the XMPP side."""
        try:
            if self._held is not None and self._xmpp.ready:
                held, self._held = self._held, None
                self._state(self, _FRAME_EVENTS[held[0]], held[1])
            for _ in range(limit):
                if self.finished:
                    return False
                if not self._xmpp.ready:
                    return self._process_control_frames(limit)
                message = self._parser.parse_stream()
                if message is None:
                    return False
                self.frames_received += 1
                if message[0] == _TEXT and self._state is WebSocketSession.ws_session:
                    self._xmpp.process_request(message[1])  # the most common case, as ws_session does it
                elif message[0] == STANZAS:
                    self._pass_stanzas(message[1])
                elif message is not FRAGMENT:
                    self._state(self, _FRAME_EVENTS[message[0]], message[1])
        except WebSocketViolation as violation:
            self._violated(violation)
            return False
        return True

    def _pass_stanzas(self, elements: bytes) -> None:
        frames, stanzas = self._parser.taken
        self.frames_received += frames - 1  # ``process`` has counted one
        if self._state is WebSocketSession.ws_session:
            self._xmpp.process_stanzas(elements, stanzas)

    def _process_control_frames(self, limit: int) -> bool:
        """While the XMPP side is not ready: handle control frames up to the next message, which is held."""
        for _ in range(limit):
            if self._held is not None:
                return True
            message = self._parser.parse_stream()
            if message is None:
                return False
            self.frames_received += 1
            if message[0] == _TEXT:
                self._held = message
            elif message is not FRAGMENT:
                self._state(self, _FRAME_EVENTS[message[0]], message[1])
                if self.finished:
                    return False
        return True

    @property
    def waits(self) -> bool:
        """Whether ``process`` can do nothing until the XMPP side is ready."""
        return self._held is not None and not self._xmpp.ready

    def lost(self) -> None:
        """The browser's connection is gone."""
        self._state(self, Event.LOST, b"")

    def cut(self) -> None:
        """Be finished in any state, because of a fault; ``lost`` follows."""
        self.finished = True

    def tick(self, now: float, *, reading: bool) -> None:
        """Check the deadlines at ``now`` (seconds, monotonic).

        While the browser is not read (``reading`` is false), the deadlines for its bytes are suspended.
        """
        if self._state is WebSocketSession.ws_closing:
            self._tick_closing(now)
        elif self._state is WebSocketSession.ws_session:
            if not reading:
                self._last_received = now
                self._ping_sent = None if self._ping_sent is None else now
            elif now >= self.due:
                self._tick_session(now)
                self.due = self._next_deadline()

    def _tick_closing(self, now: float) -> None:
        if not self._wait_until:
            self._queue.has_progressed()
            self._wait_until = now + self._timers.close_timeout
        elif now < self._wait_until:
            return
        elif self._queue.has_progressed():
            self._wait_until = now + self._timers.close_timeout
        else:
            self._finish()

    def _tick_session(self, now: float) -> None:
        quiet = now - self._last_received
        unanswered = self._ping_sent is not None and now - self._ping_sent >= self._timers.pong_timeout
        if (unanswered or quiet >= self._timers.idle_timeout) and self._queue.has_progressed():
            self._last_received = now  # taking bytes proves that the browser is alive
            self._ping_sent = None if self._ping_sent is None else now
        elif unanswered:
            self._xmpp.browser_lost(causes.NO_PONG)
            self._finish()
        elif quiet >= self._timers.idle_timeout:
            self._xmpp.fail(SessionError(causes.IDLE, code=CloseCode.NORMAL, farewell=Farewell.FIN))
        elif self._ping_sent is None and max(quiet, now - self._last_sent) >= self._timers.ping_interval:
            self._ping_sent = self._last_sent = now
            self._queue.has_progressed()
            self.data_to_send.append(make_ping())

    def _next_deadline(self) -> float:
        """Return the moment of the next deadline; bytes in either direction only move it later."""
        timers = self._timers
        idle = self._last_received + timers.idle_timeout
        if self._ping_sent is not None:
            # After the answer to this ping, the next ping may be due before this one's deadline.
            return min(idle, self._ping_sent + min(timers.pong_timeout, timers.ping_interval))
        return min(idle, min(self._last_received, self._last_sent) + timers.ping_interval)

    # -- output --------------------------------------------------------------------------------

    def send(self, text: bytes) -> None:
        """Send one text message."""
        if self._state is WebSocketSession.ws_session and text != BLANK:  # the most common case
            self.data_to_send.append(make(text))
        else:
            self._state(self, Event.SEND, text)

    def send_frames(self, frames: bytes) -> None:
        """Send whole frames of text messages."""
        if self._state is WebSocketSession.ws_session:
            self.data_to_send.append(frames)

    def sent(self, now: float) -> None:
        """Note that the owner has sent ``data_to_send``, which puts off the next ping."""
        self._last_sent = now
        if self._queue.unsent:
            self._queue.sent()

    def answers_taken(self) -> None:
        """The kernel has taken the queued answers: send the remembered ones."""
        if self._state is WebSocketSession.ws_session:
            self._append(self._queue.remembered())

    def _append(self, frames: list[bytes]) -> None:
        for frame in frames:
            self.data_to_send.append(frame)

    @property
    def at_rest(self) -> bool:
        """Whether messages flow, so that ``tick`` has nothing to do before ``due``."""
        return self._state is WebSocketSession.ws_session

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake (RFC 6455 section 7.1.2)."""
        self._state(self, Event.CLOSE, code.to_bytes(2, "big") + reason.encode())

    # -- the states ----------------------------------------------------------------------------

    def ws_handshake_request(self, event: Event, data: bytes) -> None:
        """Wait for the request line; ``http_request`` ends this state."""
        self._before_upgrade(event)

    def ws_handshake_header(self, event: Event, data: bytes) -> None:
        """Wait for the end of the headers; ``http_eoh`` ends this state."""
        self._before_upgrade(event)

    def _before_upgrade(self, event: Event) -> None:
        if event is Event.LOST:
            self._finish()

    def ws_session(self, event: Event, data: bytes) -> None:
        """Messages flow in both directions; either side may start the closing handshake."""
        if event is Event.SEND:
            self._append([make(data)] if data != BLANK else self._queue.blank())
        elif event is Event.TEXT:
            self._xmpp.process_request(data)
        elif event is Event.PING:
            self._append(self._queue.pong(data))  # RFC 6455 section 5.5.2
        elif event is Event.PONG:  # an unsolicited one is no error (RFC 6455 section 5.5.3)
            self.ping_time, self._answered_after = self._answered_after or self.ping_time, None
        elif event is Event.CLOSE:
            self._send_close(int.from_bytes(data[:2], "big"), data[2:])
            self._enter(WebSocketSession.ws_closing)
        elif event is Event.CLOSE_FRAME:
            code, reason = parse_close(data)
            self._send_close(code, reason)  # the code is echoed (RFC 6455 section 5.5.1)
            self._finish()
            self._xmpp.browser_lost(causes.BROWSER_LEFT, str(code))
        elif event is Event.LOST:
            self._finish()
            self._xmpp.browser_lost(causes.BROWSER_LOST)

    def ws_closing(self, event: Event, data: bytes) -> None:
        """wsgw has sent its Close and waits for the browser's; all other frames are ignored."""
        if event is Event.CLOSE_FRAME or event is Event.LOST:
            self._finish()

    def ws_closed(self, event: Event, data: bytes) -> None:
        """Both sides have sent a Close, or the connection is lost: ignore all events."""

    # -- endings -------------------------------------------------------------------------------

    def _send_close(self, code: int, reason: bytes) -> None:
        self.close_code = code
        self._append(self._queue.remembered())  # nothing may follow a Close (RFC 6455 section 5.5.1)
        self.data_to_send.append(make_close(code, reason))

    def _finish(self) -> None:
        self._enter(WebSocketSession.ws_closed)
        self.finished = True

    def _violated(self, violation: WebSocketViolation) -> None:
        """End the WebSocket with an error, and read no more frames (RFC 6455 section 7.1.7)."""
        if self._state is WebSocketSession.ws_session:
            cause, detail = violation.ending
            if cause.condition:
                self._xmpp.fail(SessionError(cause, detail, code=violation.code))
            else:
                self._send_close(violation.code, violation.reason.encode())
                self._xmpp.browser_lost(cause, detail)
        self._finish()
