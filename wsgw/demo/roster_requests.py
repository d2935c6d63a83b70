"""Roster get, set and remove (RFC 6121 sections 2.1 to 2.5)."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from wsgw.demo.elements import NS_ROSTER
from wsgw.demo.roster import Rosters
from wsgw.demo.session import Session
from wsgw.demo.stanzas import StanzaError, parse_jid
from wsgw.demo.subscriptions import Subscriptions

_ITEM = f"{{{NS_ROSTER}}}item"
_GROUP = f"{{{NS_ROSTER}}}group"


class RosterRequests:
    """Handlers for ``jabber:iq:roster``."""

    def __init__(self, rosters: Rosters, subscriptions: Subscriptions) -> None:
        self._rosters = rosters
        self._subscriptions = subscriptions

    def get(self, session: Session, iq: Element, payload: Element) -> Element:
        """The whole roster; the session gets pushes from then on (RFC 6121 section 2.2)."""
        session.interested = True
        return self._rosters.of(session.localpart).query()

    def set(self, session: Session, iq: Element, payload: Element) -> None:
        """Add, change or remove one item.

        Raises StanzaError ``bad-request``, ``jid-malformed``, ``item-not-found``, ``not-allowed`` or
        ``not-acceptable`` (RFC 6121 sections 2.3.3 and 2.5.3).
        """
        items = payload.findall(_ITEM)
        if len(items) != 1 or len(payload) != 1:
            raise StanzaError("bad-request", "A roster set has one item.")
        jid = str(parse_jid(items[0].get("jid", "")).bare)
        if items[0].get("subscription") == "remove":
            self._remove(session, jid)
        else:
            self._update(session, jid, items[0])

    def _remove(self, session: Session, jid: str) -> None:
        if jid not in self._rosters.of(session.localpart).items:
            raise StanzaError("item-not-found")
        self._subscriptions.remove_item(session.localpart, jid)

    def _update(self, session: Session, jid: str, element: Element) -> None:
        if jid == session.bare:
            raise StanzaError("not-allowed", "An account is not its own contact.")
        groups = [group.text or "" for group in element.findall(_GROUP)]
        if "" in groups:
            raise StanzaError("not-acceptable", "A group needs a name.")
        if len(set(groups)) != len(groups):
            raise StanzaError("bad-request", "A group is named twice.")
        # The client does not set the subscription (RFC 6121 section 2.1.2.5).
        item = self._rosters.of(session.localpart).item(jid)
        item.name = element.get("name", "")
        item.groups = groups
        self._subscriptions.push(session.localpart, item)
