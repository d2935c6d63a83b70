"""What the machine of one WebSocket talks to: frames, the XMPP side, deadlines; the events of its states."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

from wsgw.errors import SessionError
from wsgw.errors.causes import Cause
from wsgw.websocket_frame import Opcode


class Event(Enum):
    """What a state method is asked to handle."""

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
    """Where frames come from: ``websocket_frame``'s parser, or what stands before it."""

    max_message_size: int

    def feed(self, data: bytes) -> None:
        """Take bytes of the browser."""

    def parse_stream(self) -> tuple[int, bytes] | None:
        """Return the next message or control frame."""


class XmppSide(Protocol):
    """What the session needs of the XMPP side."""

    @property
    def ready(self) -> bool:
        """Whether the next message can be taken now."""

    def process_request(self, text: bytes) -> None:
        """Take one text message (UTF-8)."""

    def browser_lost(self, cause: Cause, detail: str = "") -> None:
        """The browser is gone, or leaves without closing its stream."""

    def fail(self, error: SessionError) -> None:
        """End the session with a stream error."""


class _NoXmpp:
    """Stands in until ``attach``."""

    ready = False

    def process_request(self, text: bytes) -> None: ...

    def browser_lost(self, cause: Cause, detail: str = "") -> None: ...

    def fail(self, error: SessionError) -> None: ...


NO_XMPP = _NoXmpp()
