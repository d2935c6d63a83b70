"""The SASL negotiation of one stream (RFC 6120 section 6): its elements and its retries.

The mechanisms are in ``sasl``. The module uses the stream only to send elements.
"""

from __future__ import annotations

from collections.abc import Callable
from xml.etree.ElementTree import Element

from wsgw.demo.accounts import Accounts
from wsgw.demo.elements import NS_SASL, make, split_tag
from wsgw.demo.sasl import MECHANISMS, Exchange, SaslFailure, begin, decode, encode
from wsgw.errors import StreamError

#: RFC 6120 section 6.4.5 recommends two to five.
MAX_FAILURES = 5


def mechanisms_feature() -> Element:
    """The ``<mechanisms/>`` of the stream features."""
    return make(NS_SASL, "mechanisms", None, *(make(NS_SASL, "mechanism", text=name) for name in MECHANISMS))


class Login:
    """Handles the SASL elements of one client; the answers go to ``send``."""

    def __init__(self, accounts: Accounts, send: Callable[[Element], None]) -> None:
        self._accounts = accounts
        self._send = send
        self._exchange: Exchange | None = None
        self._failures = 0

    def handle(self, element: Element) -> str | None:
        """Handle an ``<auth/>``, ``<response/>`` or ``<abort/>``; returns the localpart of a finished login.

        Raises StreamError after ``MAX_FAILURES`` failures.
        """
        try:
            return self._advance(split_tag(element.tag)[1], element)
        except SaslFailure as failure:
            self._fail(failure)
            return None

    def _advance(self, name: str, element: Element) -> str | None:
        if name == "abort":
            raise SaslFailure("aborted")
        if name == "auth":
            self._exchange = begin(element.get("mechanism", ""), self._accounts)
            data = decode(element.text)
            if data is None:
                # The client waits for an empty challenge before it sends data (RFC 6120 section 6.4.3).
                self._send(make(NS_SASL, "challenge"))
                return None
        elif name == "response" and self._exchange is not None:
            data = decode(element.text) or b""
        else:
            raise SaslFailure("malformed-request", "That is not part of an exchange.")
        return self._answer(self._exchange, data)

    def _answer(self, exchange: Exchange, data: bytes) -> str | None:
        step = exchange.respond(data)
        name = "challenge" if step.localpart is None else "success"
        self._send(make(NS_SASL, name, text=encode(step.data)))
        return step.localpart

    def _fail(self, failure: SaslFailure) -> None:
        self._exchange = None
        element = make(NS_SASL, "failure", None, make(NS_SASL, failure.condition))
        if failure.text:
            element.append(make(NS_SASL, "text", text=failure.text))
        self._send(element)
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            raise StreamError("policy-violation", "Too many failed logins.")
