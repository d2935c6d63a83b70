"""The WebSocket as the machine of an XMPP session sees it, and the limits of its client."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class XmppLimits(NamedTuple):
    """The limits of one client: sizes in bytes, times in seconds."""

    max_stanza_size: int
    max_depth: int
    max_attributes: int
    open_timeout: float
    auth_timeout: float
    #: Only announced to the client: the WebSocket's machine ends an idle session.
    idle_timeout: float


class Browser(Protocol):
    """The WebSocket, as the XMPP side sees it."""

    #: Bytes that one message of the client may have.
    max_message_size: int
    #: The bounds of common stanzas of the client that ``process_stanzas`` takes together; None: not at all.
    stanza_bounds: tuple[int, int, int] | None

    def send(self, text: bytes) -> None:
        """Send one text message (UTF-8)."""

    def send_frames(self, frames: bytes) -> None:
        """Send whole frames of text messages."""

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake (RFC 6455 section 7.1.2)."""
