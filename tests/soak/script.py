"""The stanzas of every session: its name determines the nth stanza of a direction."""

from __future__ import annotations

import random

STREAMS = b"http://etherx.jabber.org/streams"
SERVER_HEADER = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='%s' xmlns:p='urn:p' id='1'"
    b" from='localhost' version='1.0'>" % STREAMS
)
WELCOME = (b"<stream:features/>", b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
END = b"</stream:stream>"
CLOSINGS = {"rfc7395": b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" />', "legacy": END}

#: Pieces of well-formed content; larger stanzas repeat one.
_CONTENTS = (
    b"text",
    "é€𝄞 ".encode(),
    b"&amp;&lt;&#x20ac;",
    b"<b a='>' c=\"'\"/>",
    b"<![CDATA[<x>]]>",
    b" ' \" ]] > ",
    b"<x xmlns='urn:x'><y/></x>",
)
#: (share, smallest, largest) in bytes.
_SIZES = ((0.85, 1, 300), (0.97, 300, 5_000), (1.0, 5_000, 60_000))


def pause_share(seconds: float) -> float:
    """The share of their long pauses that peers make under a load of so many seconds, to end with it."""
    return min(1.0, seconds / 20)


def stanza(session: str, direction: str, number: int) -> bytes:
    """The ``number``-th element of a session, ``up`` from the browser or ``down`` from the server."""
    chance = random.Random(f"{session}/{direction}/{number}")
    share = chance.random()
    low, high = next((low, high) for limit, low, high in _SIZES if share <= limit)
    if share < 0.05:
        return b"<r xmlns='urn:xmpp:sm:3'/>"
    content = chance.choice(_CONTENTS)
    content *= max(1, chance.randint(low, high) // len(content))
    kind = chance.choice((b"message", b"message", b"message", b"iq", b"presence"))
    namespace = b" xmlns='jabber:client'" if direction == "up" and "legacy" not in session else b""
    if direction == "down" and chance.random() < 0.1:
        content += b"<p:x/>"
    return b"<%s%s id='%d'>%s</%s>" % (kind, namespace, number, content, kind)


def browser_form(element: bytes, framing: str) -> bytes:
    """The bytes that a browser must get for a server's ``element``: in RFC 7395 framing with declarations."""
    if framing == "legacy" or element.startswith(b"<r "):
        return element
    name, space, rest = element.partition(b" ")
    prefix = b' xmlns:p="urn:p"' if b"<p:x/>" in element else b""
    return name + prefix + b" xmlns='jabber:client'" + space + rest


class Expected:
    """Checks the received bytes of one direction against the script."""

    def __init__(self, session: str, direction: str) -> None:
        self.count = 0
        #: Bytes after the last whole stanza.
        self.rest = b""
        self.mismatch = ""
        self._session, self._direction = session, direction
        self._next = stanza(session, direction, 0)

    def feed(self, data: bytes) -> None:
        """Check received bytes."""
        self.rest += data
        while not self.mismatch and self.rest.startswith(self._next):
            self.rest = self.rest[len(self._next) :]
            self.count += 1
            self._next = stanza(self._session, self._direction, self.count)

    @property
    def off_script(self) -> bool:
        """Whether the last bytes are no beginning of the next stanza."""
        return not self._next.startswith(self.rest)

    def note_mismatch(self) -> None:
        self.mismatch = self.mismatch or f"stanza {self.count}: {self.rest[:200]!r}"
