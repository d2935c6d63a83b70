"""The interfaces of a WebSocket machine's neighbours (frames, XMPP side), its deadlines and its events."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

from wsgw.errors import SessionError
from wsgw.errors.causes import Cause
from wsgw.websocket_frame import Opcode


class Event(Enum):
    """An event that a state method handles."""

    TEXT = Opcode.TEXT
    BINARY = Opcode.BINARY
    CLOSE_FRAME = Opcode.CLOSE
    PING = Opcode.PING
    PONG = Opcode.PONG
    #: From the XMPP side: the original's ``{send, Text}`` and ``{close, Code, Reason}``.
    SEND = "send"
    CLOSE = "close"
    #: The browser's connection is gone.
    LOST = "lost"


class Timers(NamedTuple):
    """Deadlines of a WebSocket, in seconds; ``math.inf`` for none."""

    ping_interval: float
    pong_timeout: float
    idle_timeout: float
    close_timeout: float


class Frames(Protocol):
    """A source of frames: ``websocket_frame``'s parser, or a trace in front of it."""

    max_message_size: int
    #: The bounds of common stanzas that ``parse_stream`` may return together; None: it must not.
    stanza_bounds: tuple[int, int, int] | None

    @property
    def taken(self) -> tuple[int, int]:
        """The number of frames of the last ``STANZAS``, and that of messages, presences and iqs in them."""

    def feed(self, data: bytes) -> None:
        """Take bytes of the browser."""

    def parse_stream(self) -> tuple[int, bytes] | None:
        """Return (opcode, payload) of the next message or control frame, None if more bytes are needed.

        With ``stanza_bounds`` it may be ``STANZAS`` and several stanzas together.
        """


class XmppSide(Protocol):
    """The XMPP side, as the WebSocket's machine sees it."""

    @property
    def ready(self) -> bool:
        """Whether the next message can be taken now."""

    def process_request(self, text: bytes) -> None:
        """Take one text message (UTF-8)."""

    def process_stanzas(self, elements: bytes, stanzas: int) -> None:
        """Take common elements of several messages together; ``stanzas`` is the number of stanzas in them."""

    def browser_lost(self, cause: Cause, detail: str = "") -> None:
        """Handle that the browser is gone, or leaves without closing its stream."""

    def fail(self, error: SessionError) -> None:
        """End the session with a stream error."""


class _NoXmpp:
    """The XMPP side before ``attach`` and after ``detach``."""

    ready = False

    def process_request(self, text: bytes) -> None: ...

    def process_stanzas(self, elements: bytes, stanzas: int) -> None: ...

    def browser_lost(self, cause: Cause, detail: str = "") -> None: ...

    def fail(self, error: SessionError) -> None: ...


NO_XMPP = _NoXmpp()
