"""Follows a login, the only owner of what is known of it: success, failures, the JID, resumability.

Whose session it is stands in what the server says: the answer to resource binding (RFC 6120 section 7.6.1),
SASL2's authorization identifier (XEP-0388); in the oldest way (XEP-0078) in the request it accepts.
A resumed session (XEP-0198) is bound already, and not told again. SASL's messages are not looked into.

Everything is read by a parser. What a first-level element of the server is called can be trusted; what a
client says counts only by the server's answer to that very request.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from wsgw.errors import StreamError
from wsgw.stanzas.element import Element, read_element
from wsgw.stanzas.parser import CLIENT, expanded_name

#: Of a JID, in bytes (RFC 7622 section 3.1).
MAX_JID = 3071
#: Requests of a client under way before its login, and characters of their ids. Above either nothing more
#: is taken for an answer in this session.
MAX_REQUESTS = 64
MAX_ID = 256
#: ``auth_timeout`` may be restarted, but in all it is no more than so many times as long.
MAX_AUTH_TIMES = 5

IQ = expanded_name(CLIENT, "iq")
_SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
_SASL2 = "urn:xmpp:sasl:2"
_AUTHORIZED = expanded_name(_SASL2, "authorization-identifier")
_STREAM_MANAGEMENT = ("urn:xmpp:sm:3", "urn:xmpp:sm:2")
_RESUMED = tuple(expanded_name(namespace, "resumed") for namespace in _STREAM_MANAGEMENT)
#: The expanded names of what says that stream management is on (XEP-0198).
ENABLED = tuple(expanded_name(namespace, "enabled") for namespace in _STREAM_MANAGEMENT)
#: XEP-0386.
_BOUND2 = expanded_name("urn:xmpp:bind:0", "bound")
_BIND = expanded_name("urn:ietf:params:xml:ns:xmpp-bind", "bind")
_BIND_JID = expanded_name("urn:ietf:params:xml:ns:xmpp-bind", "jid")
#: XEP-0078.
_QUERY, _USERNAME, _PASSWORD, _DIGEST, _RESOURCE = (
    expanded_name("jabber:iq:auth", name) for name in ("query", "username", "password", "digest", "resource")
)

#: A server may answer with an id that holds these as they are. Then they are read as blanks (XML 1.0 section
#: 3.3.3), so that the answer has the id of another request.
_WRITTEN_AS_BLANK = re.compile("\r\n|[\t\n\r]")


class _Request(NamedTuple):
    """A client's ``iq`` that is not answered yet."""

    #: Whose an attempt of XEP-0078 claims to be, empty if that is not clear; None for any other request.
    claim: str | None


#: Two requests were under way with one id: which of them an answer is for cannot be told, ever.
_REUSED = _Request(None)


class Login:
    """What is known of one session's login so far."""

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
        #: An earlier session goes on; what its JID was is not said.
        self.resumed = False
        #: The server keeps the session when its connection is lost (XEP-0198).
        self.resumable = False
        #: Nothing more is to be learnt from stanzas.
        self.over = False
        #: Called once, when that is so.
        self.when_over: Callable[[], None] | None = None
        #: The requests under way, by their ids; None when they are not followed any more.
        self._requests: dict[str, _Request] | None = {}
        self._restarted = False

    def restarts_deadline(self) -> bool:
        """Whether the server has answered a request with a result since this was last asked."""
        restarted, self._restarted = self._restarted, False
        return restarted

    # -- from the client -----------------------------------------------------------------------

    def client_iq(self, root: bytes, element: bytes, domain: str) -> None:
        """Look at a client's ``iq`` of any namespace; ``root`` is a start tag with the bindings it relies on.

        Each is remembered until it is answered, whatever its type: some server may answer it.
        """
        requests = self._requests
        if requests is None:
            return
        try:
            iq = read_element(root, element)
        except StreamError:  # it takes too much to be read
            self._requests = None
            return
        number = _number(iq)
        if not number:  # what answers it cannot be told
            return
        if number in requests:
            requests[number] = _REUSED
        elif len(number) > MAX_ID or len(requests) >= MAX_REQUESTS:
            self._requests = None
        else:
            requests[number] = _Request(_claim(iq, domain))

    # -- from the server -----------------------------------------------------------------------

    def from_server(self, name: str, root: bytes, element: bytes) -> bool:
        """Look at a first-level element of the server: its expanded name, and its bytes.

        Returns whether the login has succeeded by it. From one that takes too much to be read, nothing is
        learnt.
        """
        look = _LOOKS.get(name)
        if look is None:
            return False
        had_succeeded, was_over = self.succeeded, self.over
        with suppress(StreamError):
            look(self, root, element)
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
        """A request before the login is answered. Of an attempt, only an empty result is a success.

        Prosody's answer to one that lacks a field lists the fields, in a ``result`` too.
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
        success = read_element(root, element)
        self.succeeded = True
        self.jid = _jid(success.text_of(_AUTHORIZED))
        self.resumed = any(child.name in _RESUMED for child in success.children)
        bound = [child for child in success.children if child.name == _BOUND2]
        self.over = self.resumed or bool(bound) or "/" in self.jid
        enabled = [*success.children, *(inner for child in bound for inner in child.children)]
        self.resumable |= self.resumed or any(map(_is_resumable, enabled))

    def _sasl_failure(self, _root: bytes, _element: bytes) -> None:
        self.refused += 1

    def _enabled(self, root: bytes, element: bytes) -> None:
        self.resumable |= _is_resumable(read_element(root, element))

    def _session_resumed(self, _root: bytes, _element: bytes) -> None:
        self.resumed = self.resumable = self.over = True


#: What is looked at of the server's elements, by their names.
_LOOKS: dict[str, Callable[[Login, bytes, bytes], None]] = {
    IQ: Login._iq,
    expanded_name(_SASL, "success"): Login._sasl_success,
    expanded_name(_SASL2, "success"): Login._sasl2_success,
    expanded_name(_SASL, "failure"): Login._sasl_failure,
    expanded_name(_SASL2, "failure"): Login._sasl_failure,
    **dict.fromkeys(ENABLED, Login._enabled),
    **dict.fromkeys(_RESUMED, Login._session_resumed),
}


def _number(iq: Element) -> str:
    """Return the id as a request and its answer are compared; empty if there is none."""
    return _WRITTEN_AS_BLANK.sub(" ", iq.attributes.get("id", ""))


def _claim(iq: Element, domain: str) -> str | None:
    """Whose an attempt of XEP-0078 claims to be, empty if that is not clear; None for any other request.

    An ``iq`` has one child (RFC 6120 section 8.2.3). With a second one, the server might answer that.
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
    """Whether it is an ``<enabled/>`` that says the session can be resumed (an XML Schema boolean)."""
    return element.name in ENABLED and element.attributes.get("resume", "").strip() in ("true", "1")


def _jid(text: str) -> str:
    """A JID, or nothing if it is too long for one."""
    text = text.strip()
    return text if len(text.encode()) <= MAX_JID else ""
