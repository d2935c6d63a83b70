"""Where a message, or a stanza nobody acknowledged, goes (RFC 6121 section 8.5).

Only within the one domain: there is no s2s, and nothing is kept for those who are offline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element

from wsgw.demo.elements import split_tag
from wsgw.demo.session import Session
from wsgw.demo.stanzas import StanzaError, error_reply, is_request, parse_jid

if TYPE_CHECKING:
    from wsgw.demo.host import Host

_MESSAGE_TYPES = frozenset({"normal", "chat", "groupchat", "headline", "error"})


class Router:
    """Delivers stanzas between the sessions of a host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def message(self, stanza: Element) -> None:
        """Deliver a message that carries its sender. Raises StanzaError."""
        recipient = parse_jid(stanza.get("to") or parse_jid(stanza.get("from", "")).bare)
        self._require_local(recipient)
        if not recipient.local:
            raise StanzaError("service-unavailable")
        target = self.full_jid_session(recipient)
        if target is not None:
            target.deliver(stanza)
            return
        self._to_account(recipient, stanza)

    def full_jid_session(self, jid: Any) -> Session | None:
        """The session bound to the full JID ``jid``, if it is one."""
        if not jid.resource or jid.domain != self._host.domain:
            return None
        return self._host.sessions.find(str(jid.local), str(jid.resource))

    def iq(self, stanza: Element, recipient: Any) -> None:
        """Deliver an iq to a full JID (RFC 6121 section 8.5.3.1). Raises StanzaError."""
        self._require_local(recipient)
        target = self.full_jid_session(recipient)
        if target is None:
            raise StanzaError("service-unavailable")
        target.deliver(stanza)

    def answer(self, stanza: Element) -> None:
        """Deliver a stanza the server made for the client in ``to``; if that client is gone, drop it."""
        target = self.full_jid_session(parse_jid(stanza.get("to", "")))
        if target is not None:
            target.deliver(stanza)

    def undelivered(self, stanza: Element) -> None:
        """A session ended before it acknowledged ``stanza`` (XEP-0198 section 5): try others, or say so."""
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
        if jid.domain != self._host.domain:
            raise StanzaError("remote-server-not-found")

    def _to_account(self, recipient: Any, stanza: Element) -> None:
        """RFC 6121 sections 8.5.1, 8.5.2 and 8.5.3.2.1."""
        kind = stanza.get("type", "normal")
        if kind not in _MESSAGE_TYPES:
            kind = "normal"
        if kind == "error":
            return
        willing = [s for s in self._host.sessions.available(str(recipient.local)) if s.priority >= 0]
        if kind == "headline":
            targets = [] if recipient.resource else willing
        elif kind == "groupchat" or self._host.local_account(recipient) is None or not willing:
            raise StanzaError("service-unavailable")
        else:
            highest = max(session.priority for session in willing)
            targets = [session for session in willing if session.priority == highest]
        for session in targets:
            session.deliver(stanza)
