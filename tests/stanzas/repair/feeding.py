"""Feeds the stanzas under test to a stream, followed by a stanza that must be delivered too."""

from __future__ import annotations

from wsgw.stanzas.server import ServerStream

KIB, MIB = 1024, 1024 * 1024
HEADER = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' from='a' id='1'>"
)
NEXT = b"<message id='next'><body>still here</body></message>"
NS1 = b"xmlns:ns1='http://www.w3.org/XML/1998/namespace' ns1:foo='1'"
UNREADABLE = b"<unreadable xmlns='urn:wsgw:stanza'/>"
ERROR = (
    b"<error xmlns='jabber:client' type='cancel'>"
    b"<undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
)


def passed(data: bytes, size: int = 64 * KIB) -> list[bytes]:
    """The result of stanzas that arrive in pieces of ``size``; the stanza after them must come too."""
    stream = fed(data, size)
    assert stream.failure is None, stream.failure
    assert stream.at_border
    *stanzas, following = stream.elements
    assert following == NEXT
    return stanzas


class Fed(ServerStream):
    """A stream, and the elements that it returned for its input."""

    elements: list[bytes]


def fed(data: bytes, size: int = 64 * KIB) -> Fed:
    stream = Fed()
    stream.feed(HEADER)
    stream.elements = []
    data += NEXT
    for start in range(0, len(data), size):
        stream.elements += [element for _, element in stream.feed(data[start : start + size])]
        while stream.busy:
            stream.elements += [element for _, element in stream.feed(b"")]
    return stream


def message(content: bytes) -> bytes:
    return b"<message from='m@b/c' to='d@e' type='chat' id='7'><body>hi</body>%s<z/></message>" % content
