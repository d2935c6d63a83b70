"""What the machine of one XMPP session gets: the WebSocket it answers to, and the limits of its client."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class XmppLimits(NamedTuple):
    """What one client may do: sizes in bytes, times in seconds."""

    max_stanza_size: int
    max_depth: int
    max_attributes: int
    open_timeout: float
    auth_timeout: float


class Browser(Protocol):
    """What the XMPP side needs of the WebSocket."""

    max_message_size: int

    def send(self, text: bytes) -> None:
        """Send one text message."""

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake."""
