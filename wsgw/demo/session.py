"""One bound resource: its state, and the delivery of stanzas to it.

With stream management a session can outlive its stream; until it is resumed it has no wire. The rules of
routing are in ``routing``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from xml.etree.ElementTree import Element

from wsgw.demo.acknowledgements import Acknowledgements
from wsgw.demo.elements import NS_SM, make
from wsgw.errors import StreamError


class Wire(Protocol):
    """The stream that a session is attached to, as the session uses it."""

    def send(self, element: Element) -> None:
        """Queue one element; never blocks."""

    def end(self, fault: StreamError) -> None:
        """Queue the stream error ``fault`` and the closing tag."""


#: (session, stanza that it could not keep, reason) → None.
Overflow = Callable[["Session", Element, StreamError], None]


class Session:
    """A bound resource. ``jid`` is a SleekXMPP ``JID`` with a resource.

    ``overflow`` is called with a stanza that the session cannot keep, because too many are unacknowledged.
    """

    def __init__(self, jid: Any, wire: Wire, overflow: Overflow) -> None:
        self.jid = jid
        self._overflow = overflow
        self.wire: Wire | None = wire
        self.acknowledgements: Acknowledgements | None = None
        #: The last presence that the client broadcast; None while the session is not available.
        self.presence: Element | None = None
        self.priority = 0
        #: Whether the client has requested the roster, and so gets roster pushes (RFC 6121 section 2.2).
        self.interested = False
        #: JIDs that got directed presence, and get ``unavailable`` when the session ends (RFC 6121 section
        #: 4.6).
        self.directed: set[str] = set()
        #: Whether the session has ended; later stanzas to it are dropped.
        self.ended = False

    @property
    def full(self) -> str:
        """The full JID."""
        return str(self.jid.full)

    @property
    def bare(self) -> str:
        """The bare JID."""
        return str(self.jid.bare)

    @property
    def localpart(self) -> str:
        """The account's name."""
        return str(self.jid.local)

    @property
    def available(self) -> bool:
        """Whether it has sent initial presence, and no ``unavailable`` since."""
        return self.presence is not None

    def deliver(self, stanza: Element) -> None:
        """Send ``stanza``; with stream management, keep it until it is acknowledged."""
        if self.ended:
            return
        if self.acknowledgements is not None:
            try:
                self.acknowledgements.keep(stanza)
            except StreamError as fault:
                self._overflow(self, stanza, fault)
                return
        if self.wire is not None:
            self.wire.send(stanza)
            self.request_acknowledgement()

    def request_acknowledgement(self) -> None:
        """Send ``<r/>`` if stanzas are unacknowledged and no ``<r/>`` is open (XEP-0198 section 4)."""
        counters = self.acknowledgements
        if counters is None or self.wire is None or counters.request_pending or not counters.unacknowledged:
            return
        counters.request_pending = True
        self.wire.send(make(NS_SM, "r"))
