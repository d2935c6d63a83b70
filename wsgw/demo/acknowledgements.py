"""The counters of stream management (XEP-0198 section 4), and the stanzas that are not acknowledged yet.

It only counts: the elements are in ``stream_management``, the sessions that wait to be resumed in
``bindings``.
"""

from __future__ import annotations

from collections import deque
from xml.etree.ElementTree import Element

from wsgw.demo.elements import NS_SM, make
from wsgw.errors import StreamError

_MODULUS = 2**32

#: The session of a client that leaves more stanzas than this unacknowledged ends.
MAX_UNACKNOWLEDGED = 2000


class HandledCountTooHigh(StreamError):
    """The client acknowledges more stanzas than were sent to it (XEP-0198 section 4)."""

    def __init__(self, handled: int, sent: int) -> None:
        super().__init__("undefined-condition", f"{handled} stanzas acknowledged, {sent} sent.")
        self.detail = make(NS_SM, "handled-count-too-high", {"h": str(handled), "send-count": str(sent)})


class Acknowledgements:
    """One session's counters. ``token`` names the session for resumption; None if it cannot be resumed."""

    def __init__(self, token: str | None) -> None:
        self.token = token
        self.unacknowledged: deque[Element] = deque()
        self.request_pending = False
        self._handled = 0
        self._acknowledged = 0

    @property
    def handled(self) -> int:
        """The stanzas of the client since stream management began, modulo 2**32: the value of ``h``."""
        return self._handled

    def handle(self) -> None:
        """Count one stanza received from the client."""
        self._handled = (self._handled + 1) % _MODULUS

    def keep(self, stanza: Element) -> None:
        """Keep a stanza to the client until it is acknowledged. Raises StreamError if too many are kept."""
        if len(self.unacknowledged) >= MAX_UNACKNOWLEDGED:
            raise StreamError("policy-violation", "Too many stanzas were left unacknowledged.")
        self.unacknowledged.append(stanza)

    def acknowledge(self, handled: int) -> None:
        """Drop the stanzas up to ``handled``, the ``h`` of the client. Raises HandledCountTooHigh."""
        newly = (handled - self._acknowledged) % _MODULUS
        if newly > len(self.unacknowledged):
            sent = (self._acknowledged + len(self.unacknowledged)) % _MODULUS
            raise HandledCountTooHigh(handled, sent)
        for _ in range(newly):
            self.unacknowledged.popleft()
        self._acknowledged = handled
        self.request_pending = False
