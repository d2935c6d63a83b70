"""One domain: builds the parts that act on its accounts, rosters and sessions, and gives each stanza to one.

Nothing here switches greenlets: the streams queue the elements to send. Each part gets the few other parts
that it calls, so that ``Host.__init__`` shows the calls between them; none of them imports this module.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from xml.etree.ElementTree import Element

from wsgw.demo.accounts import Accounts
from wsgw.demo.bindings import Bindings
from wsgw.demo.elements import split_tag
from wsgw.demo.presence import Presences
from wsgw.demo.registration import Registration
from wsgw.demo.requests import Requests
from wsgw.demo.roster import Rosters
from wsgw.demo.roster_requests import RosterRequests
from wsgw.demo.routing import Router
from wsgw.demo.session import Session, Wire
from wsgw.demo.stanzas import StanzaError, error_reply, is_request, parse_jid
from wsgw.demo.subscriptions import Subscriptions
from wsgw.errors import StreamError


class Host:
    """A served domain. ``passwords``: localpart → password. ``resumption_window`` in seconds.

    Raises StanzaError ``jid-malformed`` if ``domain`` cannot be one, ValueError if a localpart cannot.
    """

    def __init__(
        self, domain: str, passwords: Mapping[str, str], allow_registration: bool, resumption_window: float
    ) -> None:
        self.domain = str(parse_jid(domain).domain)
        self.accounts = Accounts(self.domain, passwords)
        self.bindings = Bindings(self.domain, resumption_window, self._overflow)
        self.registration = Registration(self.accounts, allow_registration, self._delete_account)
        self._rosters = Rosters()
        self._router = Router(self.accounts, self.bindings)
        self._presences = Presences(self.bindings, self._rosters)
        self._subscriptions = Subscriptions(self.accounts, self.bindings, self._rosters, self._presences)
        roster_requests = RosterRequests(self._rosters, self._subscriptions)
        self._requests = Requests(self.bindings, self._router, self.registration, roster_requests)

    def serves(self, address: str) -> bool:
        """Whether ``address``, as a client wrote it, names this domain."""
        try:
            return str(parse_jid(address)) == self.domain
        except StanzaError:
            return False

    def acquaint(self, localparts: Iterable[str]) -> None:
        """Make the accounts contacts of each other. The localparts are prepared."""
        self._rosters.acquaint(localparts, self.domain)

    def bind(self, localpart: str, resource: str | None, wire: Wire) -> Session:
        """Bind ``resource``, or a random one; a session that holds it ends (RFC 6120 section 7.7.2.2).

        Raises StanzaError ``jid-malformed`` if ``resource`` cannot be one.
        """
        wanted = resource or secrets.token_hex(8)
        jid = parse_jid(f"{localpart}@{self.domain}/{wanted}")
        holder = self.bindings.find(jid)
        if holder is not None:
            self.end(holder, StreamError("conflict", "Another client has bound this resource."))
        return self.bindings.add(jid, wire)

    def dispatch(self, session: Session, stanza: Element) -> None:
        """Handle one stanza of a client. Raises StreamError ``invalid-from``."""
        if stanza.get("from") is not None:
            _check_sender(session, stanza.get("from", ""))
        stanza.set("from", session.full)
        stanza.tail = None
        kind = split_tag(stanza.tag)[1]
        try:
            if kind == "iq":
                self._requests.handle(session, stanza)
            elif kind == "message":
                self._router.message(stanza)
            elif self._subscriptions.takes(stanza):
                self._subscriptions.handle(session, stanza)
            else:
                self._presences.handle(session, stanza)
        except StanzaError as error:
            if is_request(stanza):
                session.deliver(error_reply(stanza, error))

    def lost(self, session: Session) -> None:
        """Keep a session whose stream ended without a closing tag until it is resumed, or end it."""
        if session.acknowledgements is None or session.acknowledgements.token is None:
            self.end(session)
            return
        self.bindings.detach(session, self.end)

    def end(self, session: Session, fault: StreamError | None = None) -> None:
        """End the session for good; its stream, if it has one, ends with ``fault``.

        Contacts get ``unavailable``, and the unacknowledged stanzas are delivered to other sessions.
        """
        if session.ended:
            return
        session.ended = True
        wire, session.wire = session.wire, None
        if wire is not None and fault is not None:
            wire.end(fault)
        self.bindings.remove(session)
        self._presences.gone(session)
        if session.acknowledgements is not None:
            for stanza in session.acknowledgements.unacknowledged:
                self._router.undelivered(stanza)

    def close(self) -> None:
        """Remove every session, so that no timer is left."""
        for session in self.bindings:
            session.ended = True
            session.wire = None
            self.bindings.remove(session)

    def _delete_account(self, localpart: str) -> None:
        """Remove the account, its subscriptions and its sessions (XEP-0077 section 3.2)."""
        self._subscriptions.cancel_all(localpart)
        for session in self.bindings.of(localpart):
            self.end(session, StreamError("not-authorized", "The account is gone."))
        self._rosters.remove(localpart)
        self.accounts.remove(localpart)

    def _overflow(self, session: Session, stanza: Element, fault: StreamError) -> None:
        self.end(session, fault)
        self._router.undelivered(stanza)


def _check_sender(session: Session, sender: str) -> None:
    """A ``from`` must be the client's full or bare JID (RFC 6120 section 8.1.2.1)."""
    try:
        jid = parse_jid(sender)
    except StanzaError as error:
        raise StreamError("invalid-from", "That is not your address.") from error
    if str(jid) not in (session.full, session.bare):
        raise StreamError("invalid-from", "That is not your address.")
