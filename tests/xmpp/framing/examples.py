"""Headers of clients and servers."""

from __future__ import annotations

from wsgw.stanzas.start_tag import parse_opening, without_declaration
from wsgw.xmpp.choice import choose_framing
from wsgw.xmpp.framing import Framing

OPEN = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org' version='1.0'/>"
OLD_STROPHE = (
    b"<stream:stream to='example.org' xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams' version='1.0' />"
)
SERVER_HEADER = (
    b"<stream:stream id='1' version='1.0' xml:lang='en' "
    b"xmlns:stream='http://etherx.jabber.org/streams' from='example.org' xmlns='jabber:client'>"
)
STANZAS_NS = "urn:ietf:params:xml:ns:xmpp-streams"


def framing_of(message: bytes) -> Framing:
    return choose_framing(parse_opening(without_declaration(message)))


def answered(message: bytes = OPEN, header: bytes = SERVER_HEADER) -> Framing:
    """The framing after the client's ``message`` and the server's header."""
    framing = framing_of(message)
    framing.server_header(header)
    return framing


DEFAULT = b" xmlns='jabber:client'"
PREFIX = b' xmlns:stream="http://etherx.jabber.org/streams"'
