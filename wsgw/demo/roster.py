"""Rosters (RFC 6121 section 2): items, their subscription states, and their elements.

It holds data only: ``subscriptions`` and ``roster_requests`` change the data and push the changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import permutations
from xml.etree.ElementTree import Element

from sleekxmpp.stanza.roster import RosterItem as RosterItemStanza

from wsgw.demo.elements import NS_ROSTER, make


@dataclass(slots=True)
class RosterItem:
    """One contact: ``jid`` is bare; ``to`` and ``from_`` are the two halves of the subscription."""

    jid: str
    name: str = ""
    groups: list[str] = field(default_factory=list)
    to: bool = False
    from_: bool = False
    #: Whether a subscription request was sent and is not answered.
    ask: bool = False

    @property
    def subscription(self) -> str:
        """The value of the attribute ``subscription``: ``none``, ``to``, ``from`` or ``both``."""
        if self.to and self.from_:
            return "both"
        if self.to:
            return "to"
        return "from" if self.from_ else "none"

    def element(self, subscription: str | None = None) -> Element:
        """The ``<item/>``; ``subscription`` (``remove``) replaces the item's own."""
        item = RosterItemStanza()
        item["jid"] = self.jid
        item["subscription"] = subscription or self.subscription
        if self.name:
            item["name"] = self.name
        if self.ask and subscription is None:
            item["ask"] = "subscribe"
        item["groups"] = self.groups
        element = item.xml
        assert isinstance(element, Element)
        return element


class Roster:
    """One account's items, and the subscription requests that the account has not answered."""

    def __init__(self) -> None:
        self.items: dict[str, RosterItem] = {}
        #: Bare JID of the user that asks → the ``subscribe`` stanza.
        self.requests: dict[str, Element] = {}

    def item(self, jid: str) -> RosterItem:
        """The item of the bare JID ``jid``, made at its first use."""
        return self.items.setdefault(jid, RosterItem(jid))

    def query(self) -> Element:
        """The whole roster as the ``<query/>`` of a result."""
        return make(NS_ROSTER, "query", None, *(item.element() for item in self.items.values()))

    def subscribed_to(self) -> list[str]:
        """Bare JIDs whose presence the account receives."""
        return [item.jid for item in self.items.values() if item.to]

    def subscribers(self) -> list[str]:
        """Bare JIDs that receive the account's presence."""
        return [item.jid for item in self.items.values() if item.from_]


class Rosters:
    """The rosters of a domain by localpart."""

    def __init__(self) -> None:
        self._by_account: dict[str, Roster] = {}

    def of(self, localpart: str) -> Roster:
        """The account's roster, made at its first use."""
        return self._by_account.setdefault(localpart, Roster())

    def acquaint(self, localparts: Iterable[str], domain: str) -> None:
        """Make the accounts contacts of each other, which see each other's presence."""
        for one, other in permutations(localparts, 2):
            item = self.of(one).item(f"{other}@{domain}")
            item.to = item.from_ = True

    def remove(self, localpart: str) -> None:
        """Delete the account's roster."""
        self._by_account.pop(localpart, None)
