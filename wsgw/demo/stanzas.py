"""Addresses, and the server's own stanzas, built with SleekXMPP's stanza classes.

A stanza from one client to another stays a plain element (see ``elements``), so that nothing in it is lost.
The module knows nothing of sessions.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any
from xml.etree.ElementTree import Element

from sleekxmpp.jid import JID, InvalidJID
from sleekxmpp.stanza import Iq, StreamError
from sleekxmpp.stanza.error import Error

from wsgw.demo.elements import NS_CLIENT, make, split_tag
from wsgw.errors import WsgwError

STANZA_TAGS = frozenset(f"{{{NS_CLIENT}}}{name}" for name in ("message", "presence", "iq"))

#: Condition → error type (RFC 6120 section 8.3.3).
_ERROR_TYPES = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "item-not-found": "cancel",
    "jid-malformed": "modify",
    "not-acceptable": "modify",
    "not-allowed": "cancel",
    "remote-server-not-found": "cancel",
    "service-unavailable": "cancel",
}


class StanzaError(WsgwError):
    """The answer to a stanza is an error with ``condition`` (RFC 6120 section 8.3.3) and ``text``."""

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition = condition
        self.text = text


def parse_jid(text: str) -> Any:
    """``text`` as a prepared SleekXMPP ``JID``.

    Raises StanzaError ``jid-malformed`` (RFC 6120 section 8.3.3.8).
    """
    try:
        if not text or text != text.strip():
            raise InvalidJID("empty, or with white space around it")
        return JID(text)
    except (InvalidJID, IndexError) as error:
        raise StanzaError("jid-malformed", "That is not an address.") from error


def is_request(stanza: Element) -> bool:
    """Whether ``stanza`` may be answered: not if it is an error or a result (RFC 6120 section 8.3.1)."""
    kind = stanza.get("type")
    if split_tag(stanza.tag)[1] == "iq":
        return kind in ("get", "set")
    return kind != "error"


def error_reply(stanza: Element, error: StanzaError, sender: str | None = None) -> Element:
    """The error stanza that answers ``stanza``, with the payload of ``stanza``.

    Its ``from`` is ``sender``, a JID; without it, the address to which ``stanza`` was sent.
    """
    reply = deepcopy(stanza)
    reply.tail = None
    _turn_round(reply, stanza, sender)
    reply.set("type", "error")
    payload = Error()
    payload["type"] = _ERROR_TYPES[error.condition]
    payload["condition"] = error.condition
    if error.text:
        payload["text"] = error.text
    reply.append(payload.xml)
    return reply


def result_reply(request: Element, payload: Element | None = None) -> Element:
    """The ``<iq type='result'/>`` that answers ``request``."""
    reply = Iq(stype="result", sid=request.get("id", "")).xml
    assert isinstance(reply, Element)
    _turn_round(reply, request, None)
    if payload is not None:
        reply.append(payload)
    return reply


def push(recipient: str, identifier: str, payload: Element) -> Element:
    """An ``<iq type='set'/>`` from the server to ``recipient`` (a full JID)."""
    iq = Iq(stype="set", sid=identifier, sto=recipient).xml
    assert isinstance(iq, Element)
    iq.append(payload)
    return iq


def presence(kind: str | None, sender: str, recipient: str | None = None) -> Element:
    """An empty ``<presence/>`` of type ``kind``; None means available."""
    attributes = {"from": sender}
    if recipient is not None:
        attributes["to"] = recipient
    if kind is not None:
        attributes["type"] = kind
    return make(NS_CLIENT, "presence", attributes)


def readdressed(stanza: Element, sender: str, recipient: str | None = None) -> Element:
    """A copy of ``stanza`` from ``sender``, and to ``recipient`` if it is given."""
    copy = deepcopy(stanza)
    copy.tail = None
    copy.set("from", sender)
    if recipient is not None:
        copy.set("to", recipient)
    return copy


def stream_error(condition: str, text: str, detail: Element | None = None) -> Element:
    """A ``<stream:error/>`` with ``condition`` and ``text`` (RFC 6120 section 4.9.2)."""
    error = StreamError()
    del error["type"]
    error["condition"] = condition
    error["text"] = text
    element = error.xml
    assert isinstance(element, Element)
    if detail is not None:
        element.append(detail)
    return element


def _turn_round(reply: Element, stanza: Element, sender: str | None) -> None:
    """Address ``reply`` to the sender of ``stanza``."""
    recipient, origin = stanza.get("from"), sender or stanza.get("to")
    for key, value in (("to", recipient), ("from", origin)):
        reply.attrib.pop(key, None)
        if value:
            reply.set(key, value)
