"""Follows a login, and keeps its state: success, failures, the JID, resumability.

The JID is in the server's answer to resource binding (RFC 6120 section 7.6.1), or in SASL2's authorization
identifier (XEP-0388); in the oldest login (XEP-0078) it is in the request that the server accepts. A session
that is resumed (XEP-0198) after SASL is already bound, and the server does not repeat its JID; a session that
is resumed within SASL2 has its JID there. SASL messages are not read.

A parser reads everything. The name of the server's first-level element is trusted; a client's request counts
only when the server has accepted that very request.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from wsgw.errors import StreamError
from wsgw.stanzas.element import Element, read_element
from wsgw.stanzas.parser import IQ, expanded_name

#: The most bytes of a JID (RFC 7622 section 3.1).
MAX_JID = 3071
#: The most unanswered requests of a client before its login, and the most characters of their ids. After a
#: session has exceeded one of them, no further element counts as an answer.
MAX_REQUESTS = 64
MAX_ID = 256
#: A login takes at most this many times ``auth_timeout``, however often that deadline is restarted.
MAX_AUTH_TIMES = 5

_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
_SASL2 = "urn:xmpp:sasl:2"
_AUTHORIZED = expanded_name(_SASL2, "authorization-identifier")
_STREAM_MANAGEMENT = ("urn:xmpp:sm:3", "urn:xmpp:sm:2")
_RESUMED = tuple(expanded_name(namespace, "resumed") for namespace in _STREAM_MANAGEMENT)
_ENABLED = tuple(expanded_name(namespace, "enabled") for namespace in _STREAM_MANAGEMENT)
_SASL2_SUCCESS = expanded_name(_SASL2, "success")
#: The expanded names of the first-level elements that may confirm stream management (XEP-0198): SASL2's
#: success may contain the confirmation.
ENABLING = (*_ENABLED, _SASL2_SUCCESS)
#: XEP-0386.
_BOUND2 = expanded_name("urn:xmpp:bind:0", "bound")
_BIND = expanded_name("urn:ietf:params:xml:ns:xmpp-bind", "bind")
_BIND_JID = expanded_name("urn:ietf:params:xml:ns:xmpp-bind", "jid")
#: XEP-0078.
_QUERY, _USERNAME, _PASSWORD, _DIGEST, _RESOURCE = (
    expanded_name("jabber:iq:auth", name) for name in ("query", "username", "password", "digest", "resource")
)

#: White space in an id that a server may repeat unescaped. A parser then reads it as blanks (XML 1.0 section
#: 3.3.3), so the id of a request and that of its answer are compared with blanks in its place.
_WRITTEN_AS_BLANK = re.compile("\r\n|[\t\n\r]")


class _Request(NamedTuple):
    """A client's ``iq`` that the server has not answered."""

    #: The JID that a login of XEP-0078 names, empty if it is not clear; None for any other request.
    claim: str | None


#: Two unanswered requests have the same id: an answer cannot be matched to one of them.
_REUSED = _Request(None)


class Login:
    """The state of one session's login."""

    __slots__ = (
        "_requests",
        "_restarted",
        "jid",
        "over",
        "refused",
        "resumable",
        "resumed",
        "succeeded",
        "when_over",
    )

    def __init__(self) -> None:
        self.succeeded = False
        #: Attempts that the server refused.
        self.refused = 0
        #: The user's JID, bare until a resource is bound; empty if it is not known.
        self.jid = ""
        #: The client has resumed an earlier session (XEP-0198); its JID is known only from SASL2.
        self.resumed = False
        #: The server keeps the session when its connection is lost (XEP-0198).
        self.resumable = False
        #: The login is complete: stanzas need not be passed to ``from_server``.
        self.over = False
        #: Called once, when ``over`` becomes true.
        self.when_over: Callable[[], None] | None = None
        #: The unanswered requests by id; None after requests are no longer followed.
        self._requests: dict[str, _Request] | None = {}
        self._restarted = False

    def restarts_deadline(self) -> bool:
        """Whether the server has answered a step of the login since the last call.

        Such an answer is a result of an ``iq``, or SASL2's request for another task.
        """
        restarted, self._restarted = self._restarted, False
        return restarted

    # -- from the client -----------------------------------------------------------------------

    def client_iq(self, root: bytes, element: bytes, domain: str) -> None:
        """Remember a client's ``iq``, in any namespace and of any type, until the server answers it.

        ``root`` is a start tag with the bindings that ``element`` relies on, ``domain`` the session's domain.
        """
        requests = self._requests
        if requests is None:
            return
        try:
            iq = read_element(root, element)
        except StreamError:  # the element costs too much to read
            self._requests = None
            return
        number = _number(iq)
        if not number:  # no answer can be matched to it
            return
        if number in requests:
            requests[number] = _REUSED
        elif len(number) > MAX_ID or len(requests) >= MAX_REQUESTS:
            self._requests = None
        else:
            requests[number] = _Request(_claim(iq, domain))

    # -- from the server -----------------------------------------------------------------------

    def from_server(self, name: str, root: bytes, element: bytes) -> bool:
        """Handle a first-level element of the server; return whether the login has succeeded with it.

        ``name`` is its expanded name, ``root`` a start tag with the bindings that ``element`` relies on. The
        content of an element that costs too much to read is ignored.
        """
        handle = _HANDLERS.get(name)
        if handle is None:
            return False
        had_succeeded, was_over = self.succeeded, self.over
        with suppress(StreamError):
            handle(self, root, element)
        if self.succeeded or self.over:
            self._requests = None
        if self.over and not was_over and self.when_over is not None:
            self.when_over()
        return self.succeeded and not had_succeeded

    def _iq(self, root: bytes, element: bytes) -> None:
        if self.over:
            return
        iq = read_element(root, element)
        answer, number = iq.attributes.get("type", ""), _number(iq)
        bind = iq.child(_BIND) if answer == "result" else None
        if bind is not None and any(child.name == _BIND_JID for child in bind.children):
            self.jid, self.over = _jid(bind.text_of(_BIND_JID)), True
        elif answer in ("result", "error"):
            self._answered(number, answer, empty=not iq.children)

    def _answered(self, number: str, answer: str, *, empty: bool) -> None:
        """Handle the answer to a request before the login. Only an empty result accepts a login (XEP-0078).

        Prosody answers a login that lacks a field with a ``result`` that lists the fields.
        """
        request = self._requests.get(number) if self._requests else None
        if request is None or self._requests is None:
            return
        if request is not _REUSED:
            del self._requests[number]
        if answer == "error":
            self.refused += request.claim is not None
            return
        self._restarted = True
        if request.claim is not None and empty:
            self.succeeded = self.over = True
            self.jid = request.claim

    def _sasl_success(self, _root: bytes, _element: bytes) -> None:
        self.succeeded = True

    def _sasl2_success(self, root: bytes, element: bytes) -> None:
        self.succeeded = True  # even if its content costs too much to read
        success = read_element(root, element)
        self.jid = _jid(success.text_of(_AUTHORIZED))
        self.resumed = any(child.name in _RESUMED for child in success.children)
        bound = [child for child in success.children if child.name == _BOUND2]
        self.over = self.resumed or bool(bound) or "/" in self.jid
        enabled = [*success.children, *(inner for child in bound for inner in child.children)]
        self.resumable |= self.resumed or any(map(_is_resumable, enabled))

    def _sasl2_continue(self, _root: bytes, _element: bytes) -> None:
        """The server asks for another task, such as a one-time password (XEP-0388 section 2.6.3)."""
        self._restarted = True

    def _sasl_failure(self, _root: bytes, _element: bytes) -> None:
        self.refused += 1

    def _enabled(self, root: bytes, element: bytes) -> None:
        self.resumable |= _is_resumable(read_element(root, element))

    def _session_resumed(self, _root: bytes, _element: bytes) -> None:
        self.resumed = self.resumable = self.over = True


#: The handlers of the server's elements, by expanded name.
_HANDLERS: dict[str, Callable[[Login, bytes, bytes], None]] = {
    IQ: Login._iq,
    expanded_name(_SASL, "success"): Login._sasl_success,
    _SASL2_SUCCESS: Login._sasl2_success,
    expanded_name(_SASL2, "continue"): Login._sasl2_continue,
    expanded_name(_SASL, "failure"): Login._sasl_failure,
    expanded_name(_SASL2, "failure"): Login._sasl_failure,
    **dict.fromkeys(_ENABLED, Login._enabled),
    **dict.fromkeys(_RESUMED, Login._session_resumed),
}


def _number(iq: Element) -> str:
    """Return the id of an ``iq`` in the form that is compared; empty if it has none."""
    return _WRITTEN_AS_BLANK.sub(" ", iq.attributes.get("id", ""))


def _claim(iq: Element, domain: str) -> str | None:
    """Return the JID that a login of XEP-0078 names, empty if it is not clear; None for any other request.

    An ``iq`` has one child (RFC 6120 section 8.2.3). If it had a second one, the server might answer that.
    """
    if iq.name != IQ or iq.attributes.get("type") != "set" or len(iq.children) != 1:
        return None
    (query,) = iq.children
    names = {child.name for child in query.children}
    if query.name != _QUERY or _USERNAME not in names:
        return None
    if names.isdisjoint((_PASSWORD, _DIGEST)):
        return None
    name, resource = query.text_of(_USERNAME), query.text_of(_RESOURCE)
    return _jid(f"{name}@{domain}/{resource}") if name and resource else ""


def _is_resumable(element: Element) -> bool:
    """Whether it is an ``<enabled/>`` with a true ``resume``, an XML Schema boolean (XEP-0198)."""
    return element.name in _ENABLED and element.attributes.get("resume", "").strip() in ("true", "1")


def _jid(text: str) -> str:
    """Return ``text`` as a JID, empty if it is longer than ``MAX_JID``."""
    text = text.strip()
    return text if len(text.encode()) <= MAX_JID else ""
