"""Presence subscriptions (RFC 6121 section 3) between accounts of the one domain.

Each of the four verbs changes the sender's roster first (outbound), then the contact's (inbound). Every
change is pushed to the account's sessions. Pre-approval (section 3.4) is not supported.
"""

from __future__ import annotations

import secrets
from xml.etree.ElementTree import Element

from wsgw.demo.accounts import Accounts
from wsgw.demo.bindings import Bindings
from wsgw.demo.elements import NS_ROSTER, make
from wsgw.demo.presence import Presences
from wsgw.demo.roster import RosterItem, Rosters
from wsgw.demo.session import Session
from wsgw.demo.stanzas import StanzaError, parse_jid, presence, push, readdressed


class Subscriptions:
    """Changes the subscription states in the rosters. A parameter ``jid`` is a bare JID as a string."""

    def __init__(
        self, accounts: Accounts, bindings: Bindings, rosters: Rosters, presences: Presences
    ) -> None:
        self._accounts = accounts
        self._bindings = bindings
        self._rosters = rosters
        self._presences = presences
        self._verbs = {
            "subscribe": self._subscribe,
            "subscribed": self._subscribed,
            "unsubscribe": self._unsubscribe,
            "unsubscribed": self._unsubscribed,
        }

    def takes(self, stanza: Element) -> bool:
        """Whether the presence stanza has one of the four types that change a subscription."""
        return stanza.get("type") in self._verbs

    def handle(self, session: Session, stanza: Element) -> None:
        """Handle a presence stanza that ``takes`` accepts.

        Raises StanzaError ``bad-request``, ``jid-malformed`` or ``remote-server-not-found``.
        """
        if not stanza.get("to"):
            raise StanzaError("bad-request", "A subscription needs an address.")
        contact = parse_jid(stanza.get("to", ""))
        if not contact.local or contact.bare == session.bare:
            raise StanzaError("bad-request", "One subscribes to another account.")
        if contact.domain != self._accounts.domain:
            raise StanzaError("remote-server-not-found")
        # RFC 6121 section 3.1.2: from and to are bare.
        addressed = readdressed(stanza, session.bare, contact.bare)
        self._verbs[stanza.get("type", "")](session.localpart, str(contact.local), addressed)

    def remove_item(self, localpart: str, jid: str) -> None:
        """Remove the item of ``jid``, and the subscriptions in both directions (RFC 6121 section 2.5)."""
        contact = parse_jid(jid)
        roster = self._rosters.of(localpart)
        item = roster.items[jid]
        user = f"{localpart}@{self._accounts.domain}"
        local = contact.local and contact.domain == self._accounts.domain
        if local and (item.to or item.ask):
            self._unsubscribe(localpart, str(contact.local), presence("unsubscribe", user, jid))
        if local and item.from_:
            self._unsubscribed(localpart, str(contact.local), presence("unsubscribed", user, jid))
        del roster.items[jid]
        self.push(localpart, item, "remove")

    def cancel_all(self, localpart: str) -> None:
        """Remove every item of the account's roster, as before the account is deleted."""
        for jid in list(self._rosters.of(localpart).items):
            self.remove_item(localpart, jid)

    def push(self, localpart: str, item: RosterItem, subscription: str | None = None) -> None:
        """Send ``item`` to each of the account's sessions that asked for the roster (RFC 6121 section 2.1.6).

        ``subscription``: the value to send in place of the item's own, as in ``RosterItem.element``.
        """
        for session in self._bindings.of(localpart):
            if session.interested:
                query = make(NS_ROSTER, "query", None, item.element(subscription))
                session.deliver(push(session.full, f"push-{secrets.token_hex(4)}", query))

    def _subscribe(self, user: str, contact: str, stanza: Element) -> None:
        item = self._rosters.of(user).item(self._jid(contact))
        if not item.to and not item.ask:
            item.ask = True
            self.push(user, item)
        asker = self._jid(user)
        if contact not in self._accounts:
            self._unsubscribed(contact, user, presence("unsubscribed", self._jid(contact), asker))
            return
        theirs = self._rosters.of(contact)
        if asker in theirs.items and theirs.items[asker].from_:
            # RFC 6121 section 3.1.3: the contact has approved before, so the server answers.
            self._confirm(contact, user, presence("subscribed", self._jid(contact), asker))
        else:
            theirs.requests[asker] = stanza
            self._deliver(contact, stanza)

    def _subscribed(self, user: str, contact: str, stanza: Element) -> None:
        roster = self._rosters.of(user)
        if roster.requests.pop(self._jid(contact), None) is None:
            return
        item = roster.item(self._jid(contact))
        item.from_ = True
        self.push(user, item)
        self._confirm(user, contact, stanza)

    def _confirm(self, user: str, contact: str, stanza: Element) -> None:
        """``user`` has approved the request of ``contact`` (RFC 6121 section 3.1.6)."""
        item = self._rosters.of(contact).items.get(self._jid(user))
        if item is None or not (item.ask or item.to):
            return
        if not item.to:
            item.to, item.ask = True, False
            self._deliver(contact, stanza)
            self.push(contact, item)
        self._presences.show(self._jid(contact), user)

    def _unsubscribe(self, user: str, contact: str, stanza: Element) -> None:
        mine = self._rosters.of(user).items.get(self._jid(contact))
        if mine is not None and (mine.to or mine.ask):
            mine.to = mine.ask = False
            self.push(user, mine)
        theirs = self._rosters.of(contact)
        asked = theirs.requests.pop(self._jid(user), None) is not None
        item = theirs.items.get(self._jid(user))
        if item is not None and item.from_:
            item.from_ = False
            self._deliver(contact, stanza)
            self.push(contact, item)
            self._presences.hide(self._jid(user), contact)
        elif asked:
            self._deliver(contact, stanza)

    def _unsubscribed(self, user: str, contact: str, stanza: Element) -> None:
        mine = self._rosters.of(user)
        mine.requests.pop(self._jid(contact), None)
        item = mine.items.get(self._jid(contact))
        if item is not None and item.from_:
            item.from_ = False
            self.push(user, item)
            self._presences.hide(self._jid(contact), user)
        theirs = self._rosters.of(contact).items.get(self._jid(user))
        if theirs is not None and (theirs.to or theirs.ask):
            theirs.to = theirs.ask = False
            self._deliver(contact, stanza)
            self.push(contact, theirs)

    def _deliver(self, localpart: str, stanza: Element) -> None:
        for session in self._bindings.available(localpart):
            session.deliver(stanza)

    def _jid(self, localpart: str) -> str:
        return f"{localpart}@{self._accounts.domain}"
