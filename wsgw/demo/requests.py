"""Requests (iq) that the server answers itself, in a table by payload; other iq stanzas are routed.

RFC 6120 section 8.2.3, RFC 6121 section 8.5, XEP-0030, XEP-0199. The handlers for the
roster are in ``roster_requests``, those for accounts in ``registration``.
"""

from __future__ import annotations

from collections.abc import Callable
from xml.etree.ElementTree import Element

from wsgw.demo.bindings import Bindings
from wsgw.demo.elements import (
    NS_DISCO_INFO,
    NS_DISCO_ITEMS,
    NS_PING,
    NS_REGISTER,
    NS_ROSTER,
    NS_SESSION,
    make,
)
from wsgw.demo.registration import Registration
from wsgw.demo.roster_requests import RosterRequests
from wsgw.demo.routing import Router
from wsgw.demo.session import Session
from wsgw.demo.stanzas import StanzaError, parse_jid, result_reply

#: (session, iq, payload of the iq) → payload of the result.
Handler = Callable[[Session, Element, Element], Element | None]

_FEATURES = (NS_DISCO_INFO, NS_DISCO_ITEMS, NS_PING, NS_REGISTER, NS_ROSTER)


class Requests:
    """Answers the iq stanzas of the domain's clients."""

    def __init__(
        self, bindings: Bindings, router: Router, registration: Registration, roster: RosterRequests
    ) -> None:
        self._bindings = bindings
        self._router = router
        self._handlers: dict[tuple[str, str], Handler] = {
            ("get", f"{{{NS_DISCO_INFO}}}query"): self._disco_info,
            ("get", f"{{{NS_DISCO_ITEMS}}}query"): self._disco_items,
            ("get", f"{{{NS_PING}}}ping"): _nothing,
            ("get", f"{{{NS_REGISTER}}}query"): registration.form,
            ("set", f"{{{NS_REGISTER}}}query"): registration.submit,
            ("get", f"{{{NS_ROSTER}}}query"): roster.get,
            ("set", f"{{{NS_ROSTER}}}query"): roster.set,
            ("set", f"{{{NS_SESSION}}}session"): _nothing,
        }
        self._known = {tag for _, tag in self._handlers}

    def handle(self, session: Session, iq: Element) -> None:
        """Answer or route one iq. Raises StanzaError; the caller sends it as the answer."""
        kind = check(iq)
        recipient = parse_jid(iq.get("to") or session.bare)
        if recipient.resource or recipient.domain != self._bindings.domain:
            self._router.iq(iq, recipient)
        elif kind in ("get", "set"):
            if recipient.local and recipient.bare != session.bare:
                # RFC 6121 section 8.5.2.1.3: the server answers for that account, without its data.
                raise StanzaError(
                    "forbidden" if iq[0].tag == f"{{{NS_ROSTER}}}query" else "service-unavailable"
                )
            session.deliver(self._answer(session, kind, iq))

    def _answer(self, session: Session, kind: str, iq: Element) -> Element:
        payload = iq[0]
        handler = self._handlers.get((kind, payload.tag))
        if handler is None:
            known = payload.tag in self._known
            raise StanzaError("feature-not-implemented" if known else "service-unavailable")
        return result_reply(iq, handler(session, iq, payload))

    def _disco_info(self, session: Session, iq: Element, payload: Element) -> Element:
        if payload.get("node"):
            raise StanzaError("item-not-found")
        own_account = bool(parse_jid(iq.get("to") or session.bare).local)
        identity = ("account", "registered") if own_account else ("server", "im")
        return make(
            NS_DISCO_INFO,
            "query",
            None,
            make(NS_DISCO_INFO, "identity", {"category": identity[0], "type": identity[1]}),
            *(make(NS_DISCO_INFO, "feature", {"var": feature}) for feature in _FEATURES),
        )

    def _disco_items(self, session: Session, iq: Element, payload: Element) -> Element:
        if payload.get("node"):
            raise StanzaError("item-not-found")
        own_account = bool(parse_jid(iq.get("to") or session.bare).local)
        resources = self._bindings.available(session.localpart) if own_account else []
        items = (make(NS_DISCO_ITEMS, "item", {"jid": resource.full}) for resource in resources)
        return make(NS_DISCO_ITEMS, "query", None, *items)


def check(iq: Element) -> str:
    """The ``type`` of ``iq`` if it is valid (RFC 6120 section 8.2.3). Raises StanzaError ``bad-request``."""
    kind = iq.get("type", "")
    if kind not in ("get", "set", "result", "error") or not iq.get("id"):
        raise StanzaError("bad-request", "An iq has an id and one of four types.")
    if kind in ("get", "set") and len(iq) != 1:
        raise StanzaError("bad-request", "A request has one child.")
    return kind


def _nothing(session: Session, iq: Element, payload: Element) -> None:
    """The handler of requests with an empty result."""
