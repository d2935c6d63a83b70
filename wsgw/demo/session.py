"""One bound resource: what the server knows of it, and the way a stanza reaches it.

A session outlives its stream when stream management lets it be resumed; it then has no wire for a while.
It knows nothing of routing rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from xml.etree.ElementTree import Element

from wsgw.demo.acknowledgements import Acknowledgements
from wsgw.demo.elements import NS_SM, make
from wsgw.errors import StreamError


class Wire(Protocol):
    """What a session asks of the stream it is attached to."""

    def send(self, element: Element) -> None:
        """Queue one element; never blocks."""

    def end(self, fault: StreamError) -> None:
        """Queue the stream error ``fault`` and the closing tag."""


#: The session, the stanza it could not take, and why.
Overflow = Callable[["Session", Element, StreamError], None]


class Session:
    """A connected resource: ``jid`` is a SleekXMPP ``JID`` with a resource.

    ``overflow`` is called instead of keeping a stanza when too many are unacknowledged already.
    """

    def __init__(self, jid: Any, wire: Wire, overflow: Overflow) -> None:
        self.jid = jid
        self._overflow = overflow
        self.wire: Wire | None = wire
        self.acknowledgements: Acknowledgements | None = None
        #: The last available presence it broadcast; None: not available.
        self.presence: Element | None = None
        self.priority = 0
        #: It asked for its roster, and so hears roster pushes (RFC 6121 section 2.2).
        self.interested = False
        #: JIDs that got its presence directly and must hear of its end (RFC 6121 section 4.6).
        self.directed: set[str] = set()
        #: Once ended, stanzas no longer reach it.
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
        """Whether it has sent initial presence and not taken it back."""
        return self.presence is not None

    def deliver(self, stanza: Element) -> None:
        """Send ``stanza``, and keep it until it is acknowledged where stream management is on."""
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
        """Ask with ``<r/>`` while stanzas are unacknowledged; one question at a time (XEP-0198 section 4)."""
        counters = self.acknowledgements
        if counters is None or self.wire is None or counters.request_pending or not counters.unacknowledged:
            return
        counters.request_pending = True
        self.wire.send(make(NS_SM, "r"))
