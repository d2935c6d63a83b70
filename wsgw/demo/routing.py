"""Routes messages, iq stanzas to full JIDs, and unacknowledged stanzas (RFC 6121 section 8.5).

It routes within one domain: there is no s2s, and no message is stored for an account that is offline.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

from wsgw.demo.accounts import Accounts
from wsgw.demo.bindings import Bindings
from wsgw.demo.elements import split_tag
from wsgw.demo.stanzas import StanzaError, error_reply, is_request, parse_jid

_MESSAGE_TYPES = frozenset({"normal", "chat", "groupchat", "headline", "error"})


class Router:
    """Delivers stanzas between the sessions of the domain."""

    def __init__(self, accounts: Accounts, bindings: Bindings) -> None:
        self._accounts = accounts
        self._bindings = bindings

    def message(self, stanza: Element) -> None:
        """Deliver a message that has ``from``; without ``to`` it goes to the sender's own account.

        Raises StanzaError ``remote-server-not-found``, ``service-unavailable`` or ``jid-malformed``.
        """
        recipient = parse_jid(stanza.get("to") or parse_jid(stanza.get("from", "")).bare)
        self._require_local(recipient)
        if not recipient.local:
            raise StanzaError("service-unavailable")
        target = self._bindings.find(recipient)
        if target is not None:
            target.deliver(stanza)
            return
        self._to_account(recipient, stanza)

    def iq(self, stanza: Element, recipient: Any) -> None:
        """Deliver an iq to a full JID (RFC 6121 section 8.5.3.1).

        Raises StanzaError ``remote-server-not-found`` or ``service-unavailable``.
        """
        self._require_local(recipient)
        target = self._bindings.find(recipient)
        if target is None:
            raise StanzaError("service-unavailable")
        target.deliver(stanza)

    def answer(self, stanza: Element) -> None:
        """Deliver a stanza of the server to the client in ``to``; drop it if that client is gone."""
        target = self._bindings.find(parse_jid(stanza.get("to", "")))
        if target is not None:
            target.deliver(stanza)

    def undelivered(self, stanza: Element) -> None:
        """Deliver again, or answer with an error, a stanza that an ended session has not acknowledged.

        XEP-0198 section 5.
        """
        kind = split_tag(stanza.tag)[1]
        if kind == "presence" or not is_request(stanza) or not stanza.get("from"):
            return
        try:
            if kind == "iq":
                raise StanzaError("service-unavailable")
            self.message(stanza)
        except StanzaError as error:
            self._bounce(stanza, error)

    def _bounce(self, stanza: Element, error: StanzaError) -> None:
        try:
            self.answer(error_reply(stanza, error))
        except StanzaError:
            return

    def _require_local(self, jid: Any) -> None:
        if jid.domain != self._bindings.domain:
            raise StanzaError("remote-server-not-found")

    def _to_account(self, recipient: Any, stanza: Element) -> None:
        """Deliver a message to an account's sessions (RFC 6121 sections 8.5.1, 8.5.2 and 8.5.3.2.1)."""
        kind = stanza.get("type", "normal")
        if kind not in _MESSAGE_TYPES:
            kind = "normal"
        if kind == "error":
            return
        willing = [s for s in self._bindings.available(str(recipient.local)) if s.priority >= 0]
        if kind == "headline":
            targets = [] if recipient.resource else willing
        elif kind == "groupchat" or str(recipient.local) not in self._accounts or not willing:
            raise StanzaError("service-unavailable")
        else:
            highest = max(session.priority for session in willing)
            targets = [session for session in willing if session.priority == highest]
        for session in targets:
            session.deliver(stanza)
