"""Presence (RFC 6121 section 4): broadcast, first presence, directed presence, and the end of a session.

The stanzas that change a subscription are in ``subscriptions``.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from wsgw.demo.bindings import Bindings
from wsgw.demo.elements import NS_CLIENT
from wsgw.demo.roster import Rosters
from wsgw.demo.session import Session
from wsgw.demo.stanzas import StanzaError, parse_jid, presence, readdressed


class Presences:
    """Sends the presence of each session to the sessions that may see it.

    JIDs are strings here; a bare one has no resource.
    """

    def __init__(self, bindings: Bindings, rosters: Rosters) -> None:
        self._bindings = bindings
        self._rosters = rosters

    def handle(self, session: Session, stanza: Element) -> None:
        """Handle a presence stanza of a client that changes no subscription.

        Raises StanzaError ``bad-request`` (type, priority) or ``jid-malformed`` (``to``).
        """
        kind = stanza.get("type")
        recipient = stanza.get("to")
        if kind == "probe":
            # Only servers send probes (RFC 6121 section 4.3), and all accounts known here are on this server.
            return
        if kind not in (None, "unavailable", "error"):
            raise StanzaError("bad-request", "No such type of presence.")
        if recipient is not None:
            self._direct(session, stanza, recipient)
        elif kind is None:
            self._available(session, stanza)
        elif kind == "unavailable":
            self._unavailable(session, stanza)

    def gone(self, session: Session) -> None:
        """Send ``unavailable`` for an ended session to all that saw it (RFC 6121 sections 4.5.2, 4.6.4)."""
        if session.available or session.directed:
            self._unavailable(session, presence("unavailable", session.full))

    def show(self, watcher: str, localpart: str) -> None:
        """Send the presence of the account's sessions to the available ones of ``watcher`` (a bare JID)."""
        for session in self._bindings.available(localpart):
            assert session.presence is not None
            for recipient in self._sessions_of(watcher):
                recipient.deliver(readdressed(session.presence, session.full, recipient.bare))

    def hide(self, watcher: str, localpart: str) -> None:
        """Send ``unavailable`` for each of the account's sessions to the available ones of ``watcher``."""
        for session in self._bindings.available(localpart):
            for recipient in self._sessions_of(watcher):
                recipient.deliver(presence("unavailable", session.full, recipient.bare))

    def _available(self, session: Session, stanza: Element) -> None:
        session.priority = _priority(stanza)
        initial = not session.available
        session.presence = stanza
        for recipient in self._audience(session):
            recipient.deliver(readdressed(stanza, session.full, recipient.bare))
        if initial:
            self._welcome(session)

    def _welcome(self, session: Session) -> None:
        """After first presence: send the contacts' presence and open requests (RFC 6121 section 4.2.2)."""
        roster = self._rosters.of(session.localpart)
        accounts = [jid for jid in roster.subscribed_to() if jid != session.bare]
        others = [peer for jid in accounts for peer in self._sessions_of(jid)]
        others += [peer for peer in self._bindings.available(session.localpart) if peer is not session]
        for peer in others:
            assert peer.presence is not None
            session.deliver(readdressed(peer.presence, peer.full, session.full))
        for request in roster.requests.values():
            session.deliver(request)

    def _unavailable(self, session: Session, stanza: Element) -> None:
        audience = (
            [peer for peer in self._audience(session) if peer is not session] if session.available else []
        )
        for jid in session.directed:
            audience += [peer for peer in self._targets(jid) if peer not in audience and peer is not session]
        session.presence = None
        session.directed.clear()
        for recipient in audience:
            recipient.deliver(readdressed(stanza, session.full, recipient.bare))

    def _direct(self, session: Session, stanza: Element, recipient: str) -> None:
        """Directed presence (RFC 6121 section 4.6)."""
        jid = parse_jid(recipient)
        if stanza.get("type") is None:
            session.directed.add(str(jid))
        elif stanza.get("type") == "unavailable":
            session.directed.discard(str(jid))
        for target in self._targets(str(jid)):
            target.deliver(stanza)

    def _audience(self, session: Session) -> list[Session]:
        """The available sessions that get the broadcasts of ``session``, including those of its account."""
        subscribers = self._rosters.of(session.localpart).subscribers()
        accounts = [session.bare, *(jid for jid in subscribers if jid != session.bare)]
        return [peer for jid in accounts for peer in self._sessions_of(jid)]

    def _targets(self, jid: str) -> list[Session]:
        """The session of a full JID, or the available ones of a bare JID."""
        parsed = parse_jid(jid)
        if not parsed.resource:
            return self._sessions_of(jid)
        session = self._bindings.find(parsed)
        return [] if session is None else [session]

    def _sessions_of(self, bare: str) -> list[Session]:
        jid = parse_jid(bare)
        if jid.domain != self._bindings.domain:
            return []
        return self._bindings.available(str(jid.local))


def _priority(stanza: Element) -> int:
    """The priority of a presence stanza, -128 to 127; 0 without one (RFC 6121 section 4.7.2.3)."""
    text = (stanza.findtext(f"{{{NS_CLIENT}}}priority") or "0").strip()
    try:
        priority = int(text)
    except ValueError as error:
        raise StanzaError("bad-request", "The priority is not a number.") from error
    if not -128 <= priority <= 127:
        raise StanzaError("bad-request", "The priority is out of bounds.")
    return priority
