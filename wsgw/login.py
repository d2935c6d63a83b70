"""Follows a login: whether it has succeeded, and whose session it is then.

Whose it is stands in what the server says: the answer to resource binding (RFC 6120 section 7.6.1),
SASL2's authorization identifier (XEP-0388); in the oldest way (XEP-0078) in the request it accepts.
A resumed session (XEP-0198) is bound already, and not told again. SASL's messages are not looked into.
"""

from __future__ import annotations

import re

from wsgw.xml_parser import CLIENT, expanded_name, make_parser

#: Of a JID, in bytes (RFC 7622 section 3.1).
MAX_JID = 3071

_IQ = expanded_name(CLIENT, "iq")
_SASL = expanded_name("urn:ietf:params:xml:ns:xmpp-sasl", "success")
_SASL2 = expanded_name("urn:xmpp:sasl:2", "success")
_AUTHORIZED = (expanded_name("urn:xmpp:sasl:2", "authorization-identifier"),)
_RESUMED = tuple(expanded_name(f"urn:xmpp:sm:{version}", "resumed") for version in (2, 3))
_BIND = "urn:ietf:params:xml:ns:xmpp-bind"
_BOUND = (expanded_name(_BIND, "bind"), expanded_name(_BIND, "jid"))
_IQ_AUTH = "jabber:iq:auth"
_QUERY = expanded_name(_IQ_AUTH, "query")
_ID = re.compile(rb"""\sid\s*=\s*(?:'([^']*)'|"([^"]*)")""")


class Login:
    """What is known of one session's login so far."""

    __slots__ = ("_claimed", "_request", "jid", "over", "resumed", "succeeded")

    def __init__(self) -> None:
        self.succeeded = False
        #: The user's JID, bare until a resource is bound; empty if it is not known.
        self.jid = ""
        #: An earlier session goes on; what its JID was is not said.
        self.resumed = False
        #: There is nothing more to learn.
        self.over = False
        #: The id of the request of XEP-0078 under way, and who it asks to be.
        self._request: bytes | None = None
        self._claimed = ""

    def client_iq(self, root: bytes, element: bytes, domain: str) -> None:
        """Look at a client's ``iq``; ``root`` is a start tag with the bindings it relies on."""
        if self.succeeded or _IQ_AUTH.encode() not in element:
            return
        if b"<password" in element or b"<digest" in element:
            match = _ID.search(element)
            self._request = match[1] or match[2] if match else b""
            texts = _texts(root, element)
            name = texts.get((_QUERY, expanded_name(_IQ_AUTH, "username")))
            resource = texts.get((_QUERY, expanded_name(_IQ_AUTH, "resource")))
            self._claimed = _jid(f"{name}@{domain}/{resource}") if name and resource else ""

    def from_server(self, name: str, root: bytes, element: bytes) -> None:
        """Look at an element of the server: its expanded name, and its bytes."""
        if name == _IQ:
            if self._request is not None:
                self._answered(element)
            elif _BIND.encode() in element and b"result" in element.partition(b">")[0]:
                self._bound(_texts(root, element))
        elif name == _SASL:
            self.succeeded = True
        elif name == _SASL2:
            self.succeeded = True
            self._authorized(_texts(root, element))
        elif name in _RESUMED:
            self.resumed = self.over = True

    def _answered(self, element: bytes) -> None:
        match = _ID.search(element)
        tag = element.partition(b">")[0]
        if match and (match[1] or match[2]) == self._request and b"result" in tag:
            self.succeeded = self.over = True
            self.jid = self._claimed

    def _bound(self, texts: dict[tuple[str, ...], str]) -> None:
        if _BOUND in texts:
            self.jid, self.over = _jid(texts[_BOUND]), True

    def _authorized(self, texts: dict[tuple[str, ...], str]) -> None:
        self.jid = _jid(texts.get(_AUTHORIZED, ""))
        self.resumed = any((name,) in texts for name in _RESUMED)
        self.over = self.resumed or "/" in self.jid


def _jid(text: str) -> str:
    """A JID, or nothing if it is too long for one."""
    text = text.strip()
    return text if len(text.encode()) <= MAX_JID else ""


def _texts(root: bytes, element: bytes) -> dict[tuple[str, ...], str]:
    """The character data of children and grandchildren, by their expanded names; of well-formed ``element``.

    What is there twice is empty: it cannot be told which of the two counts for the server.
    """
    parser = make_parser(root)
    path: list[str] = []
    found: dict[tuple[str, ...], list[str]] = {}
    repeated: set[tuple[str, ...]] = set()

    def start_element(name: str, _attributes: list[str]) -> None:
        path.append(name)
        if len(path) in (2, 3):
            key = tuple(path[1:])
            if key in found:
                repeated.add(key)
            found[key] = []

    def end_element(_name: str) -> None:
        path.pop()

    def character_data(data: str) -> None:
        if len(path) in (2, 3):
            found[tuple(path[1:])].append(data)

    parser.StartElementHandler = start_element
    parser.EndElementHandler = end_element
    parser.CharacterDataHandler = character_data
    parser.Parse(element)
    return {key: "" if key in repeated else "".join(texts) for key, texts in found.items()}
