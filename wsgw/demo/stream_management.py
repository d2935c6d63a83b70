"""The elements of stream management (XEP-0198): enable, r, a, resume.

The counters are in ``acknowledgements``, the sessions that wait to be resumed in ``bindings``.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from wsgw.demo.bindings import Bindings
from wsgw.demo.elements import NS_SM, make, split_tag
from wsgw.demo.session import Session, Wire
from wsgw.errors import StreamError

_NS_CONDITIONS = "urn:ietf:params:xml:ns:xmpp-stanzas"


class StreamManagement:
    """Handles the elements of the stream ``wire``, and answers through it."""

    def __init__(self, bindings: Bindings, wire: Wire) -> None:
        self._bindings = bindings
        self._wire = wire

    def handle(self, session: Session, element: Element) -> None:
        """Handle an element of a stream with a ``session``.

        Raises StreamError for a malformed count, or for more acknowledged stanzas than were sent.
        """
        name = split_tag(element.tag)[1]
        counters = session.acknowledgements
        if name == "enable" and counters is None:
            self._wire.send(self._enable(session, element))
        elif name == "r" and counters is not None:
            self._wire.send(make(NS_SM, "a", {"h": str(counters.handled)}))
        elif name == "a" and counters is not None:
            counters.acknowledge(_count(element))
            session.request_acknowledgement()
        else:
            self._wire.send(_failed("unexpected-request"))

    def handle_unbound(self, localpart: str, element: Element) -> Session | None:
        """Handle an element of a stream without a session, where ``localpart`` may ``<resume/>`` one.

        Returns the resumed session, which is then on this stream and has sent its unacknowledged stanzas
        again; None if the answer was ``<failed/>``. Raises StreamError as ``handle`` does.
        """
        if element.tag != f"{{{NS_SM}}}resume":
            self._wire.send(_failed("unexpected-request"))
            return None
        token = element.get("previd", "")
        session = self._bindings.resumable(token)
        if session is None or session.acknowledgements is None or session.localpart != localpart:
            self._wire.send(_failed("item-not-found"))
            return None
        session.acknowledgements.acknowledge(_count(element))
        self._bindings.attach(session, self._wire)
        handled = str(session.acknowledgements.handled)
        self._wire.send(make(NS_SM, "resumed", {"previd": token, "h": handled}))
        for stanza in session.acknowledgements.unacknowledged:
            self._wire.send(stanza)
        session.request_acknowledgement()
        return session

    def _enable(self, session: Session, element: Element) -> Element:
        counters = self._bindings.manage(session, element.get("resume") in ("true", "1"))
        if counters.token is None:
            return make(NS_SM, "enabled")
        window = str(int(self._bindings.resumption_window))
        return make(NS_SM, "enabled", {"id": counters.token, "resume": "true", "max": window})


def _failed(condition: str) -> Element:
    """``<failed/>`` with a stanza error condition."""
    return make(NS_SM, "failed", None, make(_NS_CONDITIONS, condition))


def _count(element: Element) -> int:
    value = element.get("h", "")
    if not (value.isascii() and value.isdigit() and int(value) < 2**32):
        raise StreamError("bad-format", "h is a count.")
    return int(value)
