"""RFC 7395 by its sections: the bytes that browser and server get from a real gateway."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from tests.support.edges import Pair, StartEdge
from tests.support.gateway import Gateway
from tests.support.wire import (
    CLOSE_7395,
    END,
    OPENINGS,
    SERVER_HEADER,
    SUCCESS,
    Browser,
    XmppServer,
    frame,
    with_limits,
)

OPEN = OPENINGS["rfc7395"]
FRAMING = "urn:ietf:params:xml:ns:xmpp-framing"
#: The limit after login, which is that of the gateway's stock c2s listener.
LIMIT = 65_536
UPSTREAM = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
    b" xmlns:stream='http://etherx.jabber.org/streams'"
)


@pytest.fixture(scope="module")
def edge(start_edge: StartEdge) -> Gateway:
    return start_edge(ws_options="{websocket_ping_interval, infinity}, ")


@pytest.fixture
def pair(edge: Gateway, xmpp_server: XmppServer) -> Iterator[Pair]:
    pair = Pair(edge, xmpp_server)
    yield pair
    pair.close()


@pytest.mark.rule("7395-3.1")
def test_3_1_the_subprotocol_is_named_alone(edge: Gateway) -> None:
    """Whatever other subprotocol the client offers, the answer is one ``xmpp``."""
    for further in ((), ("Sec-WebSocket-Protocol: foo, bar",)):
        browser = Browser(edge.ws_port, headers=further)
        lines = [line for line in browser.head.split("\r\n") if line.lower().startswith("sec-websocket-pro")]
        assert lines == ["Sec-WebSocket-Protocol: xmpp"]
        browser.close()


@pytest.mark.rule(
    "7395-3.2",
    "7395-3.3.3-whole",
    "7395-3.3.3-declaration",
    "7395-3.3.3-first",
    "7395-3.3.3-each",
    "bytes-features",
)
def test_3_2_and_3_3_3_every_message_is_a_separate_document(pair: Pair) -> None:
    """Whole text frames; each first-level element is its own message and means the same as in the stream. It
    starts with ``<``, and no XML declaration is sent."""
    elements = [
        b"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
        b"<message><body>a</body></message>",
        b"<iq type='result' id='1'/>",
        b"<r xmlns='urn:xmpp:sm:3'/>",
        b"<message><x xmlns='jabber:x:data' stream:a=''/></message>",
    ]
    pair.server.send(b"\n ".join(elements))  # one segment, as servers do
    messages = [pair.browser.message() for _ in elements]
    assert messages[0].startswith(
        b'<stream:features xmlns:stream="http://etherx.jabber.org/streams"><bind '
    ), "the prefix is declared and kept: old clients search for it"
    assert messages[1] == b"<message xmlns='jabber:client'><body>a</body></message>"
    assert messages[3] == elements[3], "no second xmlns"
    assert all(message.startswith(b"<") and b"<?xml" not in message for message in (pair.header, *messages))
    header = SERVER_HEADER.partition(b"?>")[2]
    for element, message in zip(elements, messages, strict=True):
        expected = with_limits(element, LIMIT) if b"features" in element else element
        meant = ElementTree.fromstring(header + expected + END)[0]
        assert ElementTree.canonicalize(ElementTree.tostring(meant)) == ElementTree.canonicalize(
            ElementTree.tostring(ElementTree.fromstring(message))
        )


@pytest.mark.rule("7395-3.4-answer", "regression-open")
@pytest.mark.parametrize(
    "opening",
    [
        b"<open\nxmlns='%s'\tto='localhost'\r\nversion='1.0'\n/>",
        b'<open xmlns="%s" to="localhost" version="1.0"/>',
        b"<open xmlns='%s' to='localhost' version='1.0'></open>",
        b"<open xmlns='%s' to='localhost' version='1.0'>\n</open >",
        b"<f:open xmlns:f='%s' to='localhost' version='1.0'/>",
        b"<?xml version='1.0'?><open xmlns='%s' to='localhost' version='1.0'/>",
        b"<open version='1.0' to='LOCALHOST.' xmlns='%s'/>",
    ],
    ids=["line breaks", "double quotes", "end tag", "end tag apart", "prefix", "declaration", "order"],
)
def test_3_3_3_open_is_read_in_any_spelling(edge: Gateway, xmpp_server: XmppServer, opening: bytes) -> None:
    browser = Browser(edge.ws_port)
    browser.text(opening % FRAMING.encode())
    server = xmpp_server.accept()
    assert server.read_until(b">" if b"?xml" not in opening else b"?>").startswith(b"<?xml")
    assert server.read_until(b">").startswith(b"<stream:stream xmlns='jabber:client' xmlns:stream=")
    server.send(SERVER_HEADER)
    assert browser.message().startswith(b"<open xmlns='" + FRAMING.encode() + b"'")
    browser.close()
    server.close()


@pytest.mark.rule("7395-3.4-attributes", "6120-4.7", "6120-lang", "regression-open")
def test_3_4_the_attributes_of_the_opening_are_relayed(edge: Gateway, xmpp_server: XmppServer) -> None:
    """``<open/>`` has the attributes of a stream header, and each reaches the other side (RFC 6120 4.7)."""
    browser = Browser(edge.ws_port)
    browser.text(
        b"<open xmlns='%s' from='a&amp;b@localhost' to='localhost' xml:lang='de' version='1.0'"
        b" xmlns:x='urn:x' x:new=\"it's &gt; &#10;\" other='1'/>" % FRAMING.encode()
    )
    server = xmpp_server.accept()
    got = server.read_until(b"other='1'>")
    assert got == (
        UPSTREAM + b" xmlns:x='urn:x' from='a&amp;b@localhost' to='localhost' xml:lang='de' version='1.0'"
        b" x:new='it&apos;s &gt; &#10;' other='1'>"
    )
    server.send(
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:client'"
        b" xmlns:stream='http://etherx.jabber.org/streams' id='a&lt;\"b' from='localhost'"
        b" to='a&amp;b@localhost' version='1.0' xml:lang='fr'>"
    )
    assert browser.message() == (
        b"<open xmlns='%s' id='a&lt;&quot;b' from='localhost' to='a&amp;b@localhost' version='1.0'"
        b" xml:lang='fr'/>" % FRAMING.encode()
    )
    server.send(b"<message/>")
    assert browser.message() == b"<message xmlns='jabber:client'/>", "the language goes on <open/> only"
    browser.close()
    server.close()


@pytest.mark.rule("7395-3.4-first", "7395-3.4-answer", "7395-3.5", "regression-first")
def test_3_4_the_first_message_must_open_the_stream(edge: Gateway) -> None:
    """Any other message gets the gateway's ``<open/>``, the error, ``<close/>`` and Close, in order."""
    browser = Browser(edge.ws_port)
    browser.text(b"<message xmlns='jabber:client'/>")
    first, error, close = (browser.message() for _ in range(3))
    assert first.startswith(b"<open xmlns='" + FRAMING.encode() + b"'")
    assert error.startswith(b'<stream:error xmlns:stream="http://etherx.jabber.org/streams"><bad-format ')
    assert close == CLOSE_7395
    assert browser.frame()[0] == 8
    browser.close()


@pytest.mark.rule("7395-3.3.3-prefix", "7395-3.5", "bytes-features")
def test_3_5_an_error_is_one_message(pair: Pair) -> None:
    """The bytes of the server with the prefix declared; the children keep their namespace."""
    error = (
        b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
        b"<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>Replaced</text></stream:error>"
    )
    pair.server.send(error + END)
    messages, code, reason = pair.browser.until_close()
    declared = error.replace(
        b"<stream:error", b'<stream:error xmlns:stream="http://etherx.jabber.org/streams"', 1
    )
    assert messages == [declared, CLOSE_7395]
    assert (code, reason) == (1000, "conflict")


@pytest.mark.rule("7395-3.6-close")
def test_3_6_the_closing_side_says_close_first(pair: Pair) -> None:
    """``<close/>``, then the Close frame; messages after the client's own ``<close/>`` are ignored."""
    pair.browser.text(b"<close xmlns='%s'/>" % FRAMING.encode())
    pair.browser.text(b"<message xmlns='jabber:client'/>")
    assert pair.server.read_until(b">") == END
    pair.server.send(END)
    assert pair.browser.message() == CLOSE_7395
    opcode, payload = pair.browser.frame()
    assert (opcode, payload) == (8, b"\x03\xe8")
    pair.browser.send(frame(payload, 8))
    assert pair.server.read_to_end() == b""
    assert pair.browser.read_to_end() == b""


@pytest.mark.rule("7395-3.6-lost")
def test_3_6_a_client_lost_without_close_is_a_bare_fin(pair: Pair) -> None:
    """No end tag for the server, so that the session can be resumed (XEP-0198)."""
    pair.browser.reset()
    assert pair.server.read_to_end() == b""


@pytest.mark.rule("7395-3.6.1")
@pytest.mark.slow
def test_3_6_1_see_other_uri_is_on_close(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    """Before the features; the configured URI with the server's host."""
    options = '{see_other_uri, "wss://@HOST@/ws-xmpp"}, '
    gateway = start_edge(ws_options=options)
    browser = Browser(gateway.ws_port)
    browser.text(OPEN)
    server = xmpp_server.accept_stream(
        b"<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>b.example:5222"
        b"</see-other-host></stream:error>"
    )
    messages, code, reason = browser.until_close()
    assert messages[0].startswith(b"<open ")
    assert messages[1:] == [
        b'<close xmlns="%s" see-other-uri="wss://b.example/ws-xmpp" />' % FRAMING.encode()
    ]
    assert (code, reason) == (1000, "see-other-host")
    server.close()


@pytest.mark.rule("7395-3.7")
def test_3_7_a_restart_is_two_opens_and_no_close(edge: Gateway, xmpp_server: XmppServer) -> None:
    browser = Browser(edge.ws_port)
    browser.text(OPEN)
    server = xmpp_server.accept()
    server.read_until(b"version='1.0'>")
    server.send(SERVER_HEADER)
    browser.message()
    server.send(SUCCESS)
    assert browser.message() == SUCCESS
    browser.text(OPEN.replace(b" version", b" from='a@localhost' version"))
    assert (
        server.read_until(b"version='1.0'>")
        == UPSTREAM + b" to='localhost' from='a@localhost' version='1.0'>"
    )
    server.send(SERVER_HEADER.replace(b"id='s1'", b"id='s2'") + b"<stream:features/>")
    assert b"id='s2'" in browser.message()
    assert browser.message().startswith(b"<stream:features ")
    browser.text(b"<presence xmlns='jabber:client'/>")
    assert server.read_until(b">") == b"<presence xmlns='jabber:client'/>"
    browser.close()
    server.close()


@pytest.mark.rule("7395-3.8")
def test_3_8_white_space_is_no_keepalive(pair: Pair) -> None:
    """A blank message is neither forwarded nor answered, and the server's white space is no frame."""
    for blank in (b"", b" ", b"\r\n"):
        pair.browser.text(blank)
    pair.server.send(b" \n\t ")
    pair.goes_on()


@pytest.mark.rule("7395-3.8", "6455-5.5.2")
@pytest.mark.slow
def test_3_8_pings_are_frames(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    options = "{websocket_ping_interval, 1}, "
    gateway = start_edge(ws_options=options)
    pair = Pair(gateway, xmpp_server)
    opcode, payload = pair.browser.frame()
    assert opcode == 9
    pair.browser.send(frame(payload, 10))
    pair.browser.send(frame(b"mine", 9))
    answer = pair.browser.frame()
    if answer[0] == 9:  # the next one is due, if that took a second
        answer = pair.browser.frame()
    assert answer == (10, b"mine")
    pair.goes_on()
    pair.close()


@pytest.mark.rule("7395-3.9")
def test_3_9_starttls_is_not_offered(edge: Gateway, xmpp_server: XmppServer) -> None:
    """It is removed from the features, whose other bytes stay, and so is compression."""
    mechanisms = (
        b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
    )
    browser = Browser(edge.ws_port)
    browser.text(OPEN)
    server = xmpp_server.accept_stream(
        b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
        b"<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>"
        + mechanisms
        + b"</stream:features>"
    )
    browser.message()
    assert browser.message() == with_limits(
        b'<stream:features xmlns:stream="http://etherx.jabber.org/streams">'
        + mechanisms
        + b"</stream:features>"
    )
    browser.close()
    server.close()


@pytest.mark.rule("bytes-own", "bytes-pyjabber")
@pytest.mark.parametrize(
    ("element", "message"),
    [
        (
            b"<ns0:message xmlns:ns0='jabber:client'><ns0:body>a</ns0:body></ns0:message>",
            b"<ns0:message xmlns:ns0='jabber:client'><ns0:body>a</ns0:body></ns0:message>",
        ),
        (
            b"<features xmlns='http://etherx.jabber.org/streams'><bind xmlns='urn:b'/></features>",
            with_limits(
                b"<features xmlns='http://etherx.jabber.org/streams'><bind xmlns='urn:b'/></features>", LIMIT
            ),
        ),
        (b"<message a='x>y'/>", b"<message xmlns='jabber:client' a='x>y'/>"),
        (b"<message\n id='1'\n/>", b"<message xmlns='jabber:client'\n id='1'\n/>"),
        (b'<iq xmlns="jabber:client" />', b'<iq xmlns="jabber:client" />'),
    ],
    ids=["prefixed stanza", "features of PyJabber", "'>' in a value", "line breaks", "declared"],
)
def test_a_stanza_keeps_the_servers_spelling(pair: Pair, element: bytes, message: bytes) -> None:
    """The server's bytes, the missing declarations in the root tag; no other prefix, never ``xmlns=''``."""
    pair.server.send(element)
    assert pair.browser.message() == message


@pytest.mark.rule("6455-5.4", "regression-fragments")
@pytest.mark.slow
def test_a_stanza_of_200_kib_in_64_fragments_is_relayed(
    start_edge: StartEdge, xmpp_server: XmppServer
) -> None:
    """Chrome fragments large messages; a ping in between is answered at once (RFC 6455 section 5.4)."""
    options = "{max_stanza_size, 262144}, "
    gateway = start_edge(ws_options=options)
    pair = Pair(gateway, xmpp_server)
    stanza = b"<message xmlns='jabber:client'><body>%s</body></message>" % ("é".encode() * 100 * 1024)
    size = len(stanza) // 64 + 1
    pieces = [stanza[start : start + size] for start in range(0, len(stanza), size)]
    assert len(pieces) == 64
    for number, piece in enumerate(pieces):
        pair.browser.send(frame(piece, 0 if number else 1, fin=number == 63))
        if number == 30:
            pair.browser.send(frame(b"meanwhile", 9))
            assert pair.browser.frame() == (10, b"meanwhile")
    assert pair.server.read(len(stanza)) == stanza
    pair.goes_on()
    pair.close()
