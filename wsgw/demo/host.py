"""One domain: its accounts, rosters and sessions, and the rooms that act on them.

Everything here runs without switching greenlets: what it sends is queued by the streams. The rooms
(``routing``, ``presence``, ``subscriptions``, ``requests``) get the host and find one another through it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from wsgw.demo.accounts import Accounts
from wsgw.demo.bindings import Sessions
from wsgw.demo.elements import split_tag
from wsgw.demo.presence import Presences
from wsgw.demo.requests import Requests
from wsgw.demo.roster import Roster
from wsgw.demo.routing import Router
from wsgw.demo.session import Session, Wire
from wsgw.demo.stanzas import StanzaError, error_reply, is_request, parse_jid
from wsgw.demo.subscriptions import Subscriptions
from wsgw.errors import SessionError


class Host:
    """A served domain. Raises StanzaError ``jid-malformed`` if ``domain`` cannot be one."""

    def __init__(
        self,
        domain: str,
        passwords: Mapping[str, str],
        allow_registration: bool,
        resumption_window: float,
    ) -> None:
        self.domain = str(parse_jid(domain).domain)
        self.accounts = Accounts(self.domain, passwords)
        self.allow_registration = allow_registration
        self.sessions = Sessions(resumption_window, self._overflow)
        self.router = Router(self)
        self.presences = Presences(self)
        self.subscriptions = Subscriptions(self)
        self.requests = Requests(self)
        self._rosters: dict[str, Roster] = {}

    def serves(self, address: str) -> bool:
        """Whether ``address``, as a client wrote it, names this domain."""
        try:
            return str(parse_jid(address)) == self.domain
        except StanzaError:
            return False

    def roster(self, localpart: str) -> Roster:
        """The account's roster, made if there is none."""
        return self._rosters.setdefault(localpart, Roster())

    def local_account(self, jid: Any) -> str | None:
        """The localpart of ``jid`` if it is an existing account here."""
        if jid.domain == self.domain and jid.local in self.accounts:
            return str(jid.local)
        return None

    def bind(self, localpart: str, resource: str | None, wire: Wire) -> Session:
        """Bind a resource; one that is taken passes to the newcomer (RFC 6120 section 7.7.2.2).

        Raises StanzaError if ``resource`` cannot be one.
        """
        wanted = resource or secrets.token_hex(8)
        jid = parse_jid(f"{localpart}@{self.domain}/{wanted}")
        holder = self.sessions.find(localpart, str(jid.resource))
        if holder is not None:
            self.end(holder, SessionError("conflict", "Another client has bound this resource."))
        return self.sessions.add(jid, wire)

    def dispatch(self, session: Session, stanza: Element) -> None:
        """Handle one stanza of a client. Raises SessionError ``invalid-from``."""
        if stanza.get("from") is not None:
            self._check_sender(session, stanza.get("from", ""))
        stanza.set("from", session.full)
        stanza.tail = None
        kind = split_tag(stanza.tag)[1]
        try:
            if kind == "iq":
                self.requests.handle(session, stanza)
            elif kind == "presence":
                self.presences.handle(session, stanza)
            else:
                self.router.message(stanza)
        except StanzaError as error:
            if is_request(stanza):
                session.deliver(error_reply(stanza, error))

    def resume(self, session: Session, wire: Wire) -> None:
        """Attach ``session`` to another stream; one that still holds it is told of the conflict."""
        holder = session.wire
        self.sessions.attach(session, wire)
        if holder is not None:
            holder.end(SessionError("conflict", "The session was resumed elsewhere."))

    def lost(self, session: Session) -> None:
        """The session's stream is gone without a closing tag: it may be resumed, or else it ends."""
        if session.acknowledgements is None or session.acknowledgements.token is None:
            self.end(session)
            return
        self.sessions.detach(session, self.end)

    def end(self, session: Session, fault: SessionError | None = None) -> None:
        """End the session for good: forgotten, unavailable, its unacknowledged stanzas sent elsewhere."""
        if session.ended:
            return
        session.ended = True
        wire, session.wire = session.wire, None
        if wire is not None and fault is not None:
            wire.end(fault)
        self.sessions.remove(session)
        self.presences.gone(session)
        if session.acknowledgements is not None:
            for stanza in session.acknowledgements.unacknowledged:
                self.router.undelivered(stanza)

    def delete_account(self, localpart: str) -> None:
        """Remove the account, its subscriptions and its sessions (XEP-0077 section 3.2)."""
        self.subscriptions.cancel_all(localpart)
        for session in self.sessions.of(localpart):
            self.end(session, SessionError("not-authorized", "The account is gone."))
        self._rosters.pop(localpart, None)
        self.accounts.remove(localpart)

    def close(self) -> None:
        """Forget every session: no timer is left behind."""
        for session in self.sessions:
            session.ended = True
            session.wire = None
            self.sessions.remove(session)

    def _overflow(self, session: Session, stanza: Element, fault: SessionError) -> None:
        self.end(session, fault)
        self.router.undelivered(stanza)

    @staticmethod
    def _check_sender(session: Session, sender: str) -> None:
        try:
            jid = parse_jid(sender)
        except StanzaError as error:
            raise SessionError("invalid-from", "That is not your address.") from error
        if str(jid) not in (session.full, session.bare):
            raise SessionError("invalid-from", "That is not your address.")
