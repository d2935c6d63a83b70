"""The elements of stream management (XEP-0198): enable, r, a, resume.

The counters are in ``acknowledgements``, the waiting of a lost session in ``bindings``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from wsgw.demo.elements import NS_SM, make, split_tag
from wsgw.demo.session import Session, Wire
from wsgw.errors import SessionError

if TYPE_CHECKING:
    from wsgw.demo.host import Host

_NS_CONDITIONS = "urn:ietf:params:xml:ns:xmpp-stanzas"


def handle(host: Host, session: Session, element: Element, wire: Wire) -> None:
    """``<enable/>``, ``<r/>`` or ``<a/>`` on a bound stream. Raises SessionError."""
    name = split_tag(element.tag)[1]
    counters = session.acknowledgements
    if name == "enable" and counters is None:
        wire.send(_enable(host, session, element))
    elif name == "r" and counters is not None:
        wire.send(make(NS_SM, "a", {"h": str(counters.handled)}))
    elif name == "a" and counters is not None:
        counters.acknowledge(_count(element))
        session.request_acknowledgement()
    else:
        wire.send(failed("unexpected-request"))


def resume(host: Host, localpart: str, element: Element, wire: Wire) -> Session | None:
    """``<resume/>``: the session, now on ``wire``, with what it missed sent again; None if there is none.

    Raises SessionError.
    """
    token = element.get("previd", "")
    session = host.sessions.resumable(token)
    if session is None or session.acknowledgements is None or session.localpart != localpart:
        wire.send(failed("item-not-found"))
        return None
    session.acknowledgements.acknowledge(_count(element))
    host.resume(session, wire)
    wire.send(make(NS_SM, "resumed", {"previd": token, "h": str(session.acknowledgements.handled)}))
    for stanza in session.acknowledgements.unacknowledged:
        wire.send(stanza)
    session.request_acknowledgement()
    return session


def failed(condition: str) -> Element:
    """``<failed/>`` with a stanza error condition."""
    return make(NS_SM, "failed", None, make(_NS_CONDITIONS, condition))


def _enable(host: Host, session: Session, element: Element) -> Element:
    counters = host.sessions.manage(session, element.get("resume") in ("true", "1"))
    if counters.token is None:
        return make(NS_SM, "enabled")
    window = str(int(host.sessions.resumption_window))
    return make(NS_SM, "enabled", {"id": counters.token, "resume": "true", "max": window})


def _count(element: Element) -> int:
    value = element.get("h", "")
    if not (value.isascii() and value.isdigit() and int(value) < 2**32):
        raise SessionError("bad-format", "h is a count.")
    return int(value)
