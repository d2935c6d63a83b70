"""The state machine of one WebSocket: upgrade, messages, pings, the closing handshake.

Events go in through public methods, bytes come out in ``data_to_send``; it touches no socket and
knows no clock, ``now`` (seconds, monotonic) comes with the call. Text messages are handed to the
XMPP side (``websocket_xmpp``), which answers with ``send`` and ``close``.

Each state is a method that takes the next event; what leads from one to another: ``states``. Of the
original, ``socket_async``'s packet types are not ported: pywsgi reads the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from wsgw.errors import CloseCode, Farewell, HandshakeRefused, SessionError, WebSocketViolation, causes
from wsgw.opening.request import UpgradeRequest, judge
from wsgw.websocket_frame import (
    FRAGMENT,
    FrameParser,
    Opcode,
    make,
    make_close,
    make_ping,
    parse_close,
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
        #: Bytes for the browser, in order; whoever sends them empties the list.
        self.data_to_send: list[bytes] = []
        #: Both sides are done, or no more can be understood: shut the connection down.
        self.finished = False
        #: The code of the Close frame this side sent, 0 before.
        self.close_code = 0
        #: The earliest moment (seconds, monotonic) at which ``tick`` may have something to do, while
        #: messages flow and the browser is read.
        self.due = 0.0
        #: Frames that came so far, whole ones.
        self.frames_received = 0
        #: How long the last ping took to be answered, in seconds; whoever counts it resets it.
        self.ping_time: float | None = None
        self._timers = timers
        self._parser: Frames = FrameParser(max_message_size)
        self._xmpp: XmppSide = NO_XMPP
        self._queue = BrowserQueue(NO_CONNECTION)
        #: A message that came while the XMPP side was not ready.
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
        """Take the end of the headers: return the key or raise HandshakeRefused (or PlainRequest)."""
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

    # -- what comes in -------------------------------------------------------------------------

    def attach(self, xmpp: XmppSide, now: float, connection: Connection | None = None) -> None:
        """The 101 is sent; messages go to ``xmpp`` from here on, what is sent to ``connection``."""
        self._xmpp = xmpp
        if connection is not None:
            self._queue = BrowserQueue(connection)
        self._last_received = self._last_sent = now

    def rewire(self, frames: Callable[[Frames], Frames]) -> None:
        """Put something in the way of the frames that come, or take it away: a trace."""
        self._parser = frames(self._parser)

    def detach(self) -> None:
        """The session is over: let go of the XMPP side and of the connection."""
        self._xmpp = NO_XMPP
        self._queue = BrowserQueue(NO_CONNECTION)

    @property
    def max_message_size(self) -> int:
        """Bytes of one message; may be changed while the session runs."""
        return self._parser.max_message_size

    @max_message_size.setter
    def max_message_size(self, size: int) -> None:
        self._parser.max_message_size = size

    def receive_data(self, data: bytes, now: float) -> None:
        """Take what came from the browser; ``process`` works it off."""
        self._last_received = now
        if self._ping_sent is not None:  # whatever comes proves life as well as a pong
            self._answered_after, self._ping_sent = now - self._ping_sent, None
        self._parser.feed(data)

    def process(self, limit: int) -> bool:
        """Handle up to ``limit`` frames; True when more may be waiting (or the XMPP side is not ready)."""
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
                    self._xmpp.process_request(message[1])  # by far the commonest; ws_session would do it
                elif message is not FRAGMENT:
                    self._state(self, _FRAME_EVENTS[message[0]], message[1])
        except WebSocketViolation as violation:
            self._violated(violation)
            return False
        return True

    def _process_control_frames(self, limit: int) -> bool:
        """The XMPP side is not ready: handle what comes before the next message, which is held."""
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

    def tick(self, now: float, *, reading: bool) -> None:
        """Look at the deadlines; those that wait for the browser rest while we are not ``reading``."""
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
            self._queue.taken_since()
            self._wait_until = now + self._timers.close_timeout
        elif now < self._wait_until:
            return
        elif self._queue.taken_since():
            self._wait_until = now + self._timers.close_timeout
        else:
            self._finish()

    def _tick_session(self, now: float) -> None:
        quiet = now - self._last_received
        unanswered = self._ping_sent is not None and now - self._ping_sent >= self._timers.pong_timeout
        if (unanswered or quiet >= self._timers.idle_timeout) and self._queue.taken_since():
            self._last_received = now  # to take something is a sign of life too
            self._ping_sent = None if self._ping_sent is None else now
        elif unanswered:
            self._xmpp.browser_lost(causes.NO_PONG)
            self._finish()
        elif quiet >= self._timers.idle_timeout:
            self._xmpp.fail(SessionError(causes.IDLE, code=CloseCode.NORMAL, farewell=Farewell.FIN))
        elif self._ping_sent is None and max(quiet, now - self._last_sent) >= self._timers.ping_interval:
            self._ping_sent = self._last_sent = now
            self._queue.taken_since()
            self.data_to_send.append(make_ping())

    def _next_deadline(self) -> float:
        """Whatever comes or goes in the meantime puts it off."""
        timers = self._timers
        idle = self._last_received + timers.idle_timeout
        if self._ping_sent is not None:
            # Once it is answered, the next ping may be due before this one's deadline.
            return min(idle, self._ping_sent + min(timers.pong_timeout, timers.ping_interval))
        return min(idle, min(self._last_received, self._last_sent) + timers.ping_interval)

    # -- what goes out -------------------------------------------------------------------------

    def send(self, text: bytes) -> None:
        """Send one text message."""
        if self._state is WebSocketSession.ws_session and text != BLANK:  # by far the commonest
            self.data_to_send.append(make(text))
        else:
            self._state(self, Event.SEND, text)

    def sent(self, now: float) -> None:
        """``data_to_send`` was written to the browser; the next ping can wait."""
        self._last_sent = now
        if self._queue.unsent:
            self._queue.sent()

    def answers_taken(self) -> None:
        """The kernel has taken the answers that were queued: give those that were put off."""
        if self._state is WebSocketSession.ws_session:
            self._append(self._queue.remembered())

    def _append(self, frames: list[bytes]) -> None:
        for frame in frames:
            self.data_to_send.append(frame)

    @property
    def at_rest(self) -> bool:
        """Whether messages flow and nothing but ``due`` needs to be looked at."""
        return self._state is WebSocketSession.ws_session

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake (RFC 6455 section 7.1.2)."""
        self._state(self, Event.CLOSE, code.to_bytes(2, "big") + reason.encode())

    # -- the states ----------------------------------------------------------------------------

    def ws_handshake_request(self, event: Event, data: bytes) -> None:
        """Nothing has come yet; ``http_request`` leaves this state."""
        self._before_upgrade(event)

    def ws_handshake_header(self, event: Event, data: bytes) -> None:
        """The request line has come; ``http_eoh`` leaves this state."""
        self._before_upgrade(event)

    def _before_upgrade(self, event: Event) -> None:
        if event is Event.LOST:
            self._finish()

    def ws_session(self, event: Event, data: bytes) -> None:
        """Messages flow."""
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
        """Our Close is out and the browser's is awaited; nothing else counts (RFC 6455 section 7.1.1)."""
        if event is Event.CLOSE_FRAME or event is Event.LOST:
            self._finish()

    def ws_closed(self, event: Event, data: bytes) -> None:
        """Both Closes are seen, or the connection is gone: nothing counts."""

    # -- endings -------------------------------------------------------------------------------

    def _send_close(self, code: int, reason: bytes) -> None:
        self.close_code = code
        self._append(self._queue.remembered())  # nothing may follow a Close (RFC 6455 section 5.5.1)
        self.data_to_send.append(make_close(code, reason))

    def _finish(self) -> None:
        self._enter(WebSocketSession.ws_closed)
        self.finished = True

    def _violated(self, violation: WebSocketViolation) -> None:
        """The stream of frames is out of step: say why, and read no more (RFC 6455 section 7.1.7)."""
        if self._state is WebSocketSession.ws_session:
            cause, detail = violation.ending
            if cause.condition:
                self._xmpp.fail(SessionError(cause, detail, code=violation.code))
            else:
                self._send_close(violation.code, violation.reason.encode())
                self._xmpp.browser_lost(cause, detail)
        self._finish()
