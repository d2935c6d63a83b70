"""A broken or lying XMPP server: its session ends in bounded time and memory, the others continue.

For any bytes instead of XMPP, the browser gets ``remote-connection-failed`` in well-formed messages.
"""

from __future__ import annotations

import contextlib
import os
import threading

import pytest

from tests.support.edges import Pair, StartEdge
from tests.support.gateway import Gateway
from tests.support.hostile import MIB, bounded
from tests.support.wire import CLOSINGS, END, OPENINGS, SERVER_HEADER, Browser, Connection, XmppServer

pytestmark = pytest.mark.slow

FRAMINGS = ("rfc7395", "legacy")
OPTIONS = "{websocket_ping_interval, infinity}, "
#: A server's stanza may have eight megabytes; the gateway makes copies of it.
MEMORY = 96 * MIB

_STREAM = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"

#: Bytes in place of a stream header.
INSTEAD_OF_A_HEADER = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "a web page": b"<!DOCTYPE html><html><body>It works!</body></html>",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)),
    "NULs": b"\0" * 100_000,
    "binary": b"<" + bytes(range(128, 256)) * 100 + b">",
    "text without end": b"x" * MIB,
    "another root": b"<html xmlns='http://www.w3.org/1999/xhtml'>",
    "a stanza": b"<message xmlns='jabber:client'/>",
    "a stream of no namespace": b"<stream>",
    "a stream of another namespace": _STREAM.replace(b"jabber.org/streams", b"jabber.org/other") + b">",
    "a prefix without a binding": b"<stream:stream xmlns='jabber:client'>",
    "an end tag": END,
    "a document type": b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + _STREAM + b">",
    "an entity": _STREAM + b" id='&b;'>",
    "a comment": b"<!-- hello -->" + _STREAM + b">",
    "an instruction": b"<?php?>" + _STREAM + b">",
    "a header without end": _STREAM + b" id='" + b"x" * (2 * MIB),
    "attributes without end": _STREAM + b"".join(b" a%d=''" % number for number in range(200_000)),
    "declarations without end": _STREAM + b"".join(b" xmlns:a%d='u'" % number for number in range(100_000)),
    "a declaration without end": b"<?xml " + b"x" * (9 * MIB),
    "latin-1": _STREAM + b" id='caf\xe9'>",
    "a byte order mark": b"\xef\xbb\xbf" + SERVER_HEADER,
    "UTF-16": SERVER_HEADER.decode().encode("utf-16"),
}
#: Bytes in place of a stanza.
INSTEAD_OF_A_STANZA = {
    "text": b"hello",
    "NULs": b"\0\0\0",
    "binary": bytes(range(128, 256)) * 1000,
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "another end tag": b"<message></presence>",
    "an end tag too many": b"<message></message></message>",
    "a document type": b"<!DOCTYPE a><message/>",
    "a document type in a stanza": b"<message><!DOCTYPE a [<!ENTITY b 'c'>]></message>",
    "billion laughs": b"<!DOCTYPE a [<!ENTITY b '%s'>]>" % (b"&c;" * 10_000),
    "an entity": b"<message>&b;</message>",
    "a comment": b"<message><!-- c --></message>",
    "a comment between stanzas": b"<message/><!-- c -->",
    "an instruction": b"<message><?a b?></message>",
    "latin-1": b"<message>caf\xe9</message>",
    "a control character": b"<message>\x01</message>",
    "depth without end": b"<a>" * (8 * MIB // 3),
    "prefixed depth without end": b"<a:a xmlns:a='u'>" * (8 * MIB // 17),
    "attributes without end": b"<a" + b"".join(b" a%d=''" % number for number in range(600_000)),
    "declarations without end": b"<a" + b"".join(b" xmlns:a%d='u'" % number for number in range(500_000)),
    "elements without end": b"<a>" + b"<a>%s</a>" % (b"x" * 57) * (9 * MIB // 64),
    "a header that is none": b"<stream:stream xmlns:stream='urn:other'><!-- -->",
}
#: Stanzas of another user: (received, delivered). ``tests/stanzas/repair`` has more.
_OWN_TAG = b"<message from='m@b/c' to='d@e'/>"
_STANZA = _OWN_TAG[:-2] + b">%s</message>"
HOSTILE_STANZAS = {
    "a blank in a namespace": (_STANZA % b"<x xmlns='urn:x '/>",) * 2,
    "Prosody's prefix": (
        _STANZA % b"<body xmlns:ns1='http://www.w3.org/XML/1998/namespace' ns1:foo='1'>x</body><y/>",
        _STANZA % b"<y/>",
    ),
    "text": (_STANZA % (b"x" * (9 * MIB)), _OWN_TAG),
    "a tag": (_STANZA % (b"<a b='%s'/>" % (b"x" * (9 * MIB))), _OWN_TAG),
    "CDATA": (_STANZA % (b"<![CDATA[%s]]>" % (b"x" * (9 * MIB))), _OWN_TAG),
    "elements": (_STANZA % (b"<a>%s</a>" % (b"x" * 57) * (9 * MIB // 64)), _OWN_TAG),
    "depth": (_STANZA % (b"<a>" * 200_000 + b"</a>" * 200_000), _STANZA % (b"<a>" * 999 + b"</a>" * 999)),
    "a namespace": (_STANZA % (b"<a xmlns='%s'>%s</a>" % (b"u" * 400_000, b"<a/>" * 100_000)),) * 2,
}


@pytest.fixture(scope="module")
def edge(start_edge: StartEdge) -> Gateway:
    return start_edge(ws_options=OPTIONS)


@pytest.fixture(params=FRAMINGS)
def framing(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def connected(edge: Gateway, server: XmppServer, framing: str) -> tuple[Browser, Connection]:
    """A browser that waits for the server's header, and the server."""
    browser = Browser(edge.ws_port)
    browser.text(OPENINGS[framing])
    connection = server.accept()
    connection.read_until(b"version='1.0'>")
    return browser, connection


def send(connection: Connection, data: bytes) -> None:
    """Send as much as the gateway reads, at its pace, until it closes the connection."""
    connection.socket.settimeout(60)
    with contextlib.suppress(OSError):
        connection.send(data)


def assert_failed(browser: Browser, framing: str) -> list[bytes]:
    """Assert the messages before the error, the stream error, the end of the stream and Close 1011."""
    messages, code, reason = browser.until_close()
    assert (code, reason) == (1011, "remote-connection-failed"), messages[-2:]
    assert b"<stream:error" in messages[-2]
    assert b"<remote-connection-failed " in messages[-2]
    assert messages[-1] == CLOSINGS[framing]
    browser.close()
    return messages[:-2]


@pytest.mark.rule("6120-4.9.1.2")
@pytest.mark.parametrize("data", INSTEAD_OF_A_HEADER.values(), ids=INSTEAD_OF_A_HEADER)
def test_bytes_instead_of_a_header_end_the_session(
    edge: Gateway, xmpp_server: XmppServer, witness: Pair, framing: str, data: bytes
) -> None:
    """The gateway opens the stream itself, then sends the error."""
    browser, server = connected(edge, xmpp_server, framing)
    with bounded(edge, 5, MEMORY):
        send(server, data)
        (header,) = assert_failed(browser, framing)
    assert header.startswith(b"<open " if framing == "rfc7395" else b"<stream:stream ")
    witness.goes_on()
    server.close()


@pytest.mark.rule("6120-11.1", "xml-cost")
@pytest.mark.parametrize("data", INSTEAD_OF_A_STANZA.values(), ids=INSTEAD_OF_A_STANZA)
def test_bytes_instead_of_a_stanza_end_the_session(
    edge: Gateway, xmpp_server: XmppServer, witness: Pair, framing: str, data: bytes
) -> None:
    """The stanzas before are delivered, in order; the server gets the end tag."""
    pair = Pair(edge, xmpp_server, framing)
    with bounded(edge, 8, MEMORY):
        writer = threading.Thread(target=send, args=(pair.server, b"<message id='first'/>" + data))
        writer.start()
        witness.goes_on()
        messages = assert_failed(pair.browser, framing)
        writer.join()
    assert b"id='first'" in messages[0]
    assert all(message.startswith(b"<") for message in messages)
    with contextlib.suppress(OSError):  # reset, if the gateway has not read all bytes
        assert pair.server.read_to_end().endswith(END)
    witness.goes_on()
    pair.close()


@pytest.mark.rule("xml-stanza")
@pytest.mark.parametrize(("data", "expected"), HOSTILE_STANZAS.values(), ids=HOSTILE_STANZAS)
def test_a_hostile_stanza_ends_no_session(
    edge: Gateway, xmpp_server: XmppServer, witness: Pair, framing: str, data: bytes, expected: bytes
) -> None:
    """It is delivered without the parts that a browser could not read; the next stanza comes too."""
    pair = Pair(edge, xmpp_server, framing)
    pair.browser.socket.settimeout(60)
    with bounded(edge, 15, MEMORY):
        writer = threading.Thread(target=send, args=(pair.server, data + b"<message id='next'/>"))
        writer.start()
        witness.goes_on()
        message = pair.browser.message()
        following = pair.browser.message()
        writer.join()
    assert message.replace(b" xmlns='jabber:client'", b"", 1) == expected
    assert b"id='next'" in following
    pair.goes_on()
    pair.close()


@pytest.mark.rule("xml-cost")
def test_several_endless_elements_at_once_are_bounded(
    edge: Gateway, xmpp_server: XmppServer, witness: Pair
) -> None:
    """Eight servers send an element without end while another session is served."""
    pairs = [Pair(edge, xmpp_server, FRAMINGS[number % 2]) for number in range(8)]
    data = b"<r>" + b"<body>%s</body>" % (b"x" * 200) * (9 * MIB // 213)
    with bounded(edge, 25, 3 * MEMORY):
        writers = [threading.Thread(target=send, args=(pair.server, data)) for pair in pairs]
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            witness.goes_on()
        for pair in pairs:
            pair.browser.socket.settimeout(20)
            assert_failed(pair.browser, pair.framing)
            pair.close()


@pytest.mark.rule("end-upstream")
@pytest.mark.parametrize(
    "part",
    [b"", SERVER_HEADER[:10], SERVER_HEADER[:-1], SERVER_HEADER, SERVER_HEADER + b"<stream:fea"],
    ids=["nothing", "part of the declaration", "part of the header", "the header", "part of the features"],
)
@pytest.mark.parametrize("end", ["fin", "reset"])
def test_a_server_may_leave_at_any_point(
    edge: Gateway, xmpp_server: XmppServer, witness: Pair, framing: str, part: bytes, end: str
) -> None:
    browser, server = connected(edge, xmpp_server, framing)
    server.send(part)
    if part.startswith(SERVER_HEADER):
        browser.message()
    if end == "fin":
        server.fin()
    else:
        server.reset()
    assert len(assert_failed(browser, framing)) == (0 if part.startswith(SERVER_HEADER) else 1)
    witness.goes_on()
    server.close()


@pytest.mark.parametrize("end", ["fin", "reset"])
def test_a_server_that_leaves_inside_a_stanza_is_lost(
    edge: Gateway, xmpp_server: XmppServer, framing: str, end: str
) -> None:
    """No part of the stanza reaches the browser."""
    pair = Pair(edge, xmpp_server, framing)
    pair.server.send(b"<message id='whole'/>")
    assert b"id='whole'" in pair.browser.message()
    pair.server.send(b"<message id='part'><body>he")
    if end == "fin":
        pair.server.fin()
    else:
        pair.server.reset()
    assert assert_failed(pair.browser, framing) == []
    pair.close()


@pytest.mark.slow
def test_a_silent_server_ends_at_the_deadline(
    start_edge: StartEdge, xmpp_server: XmppServer, framing: str
) -> None:
    """The server accepts and is silent; the deadline of the login ends the session."""
    hasty = start_edge(ws_options=OPTIONS + "{auth_timeout, 2}, ")
    browser, server = connected(hasty, xmpp_server, framing)
    messages, code, reason = browser.until_close()
    assert len(messages) == 3
    assert (code, reason) == (1008, "policy-violation")
    assert server.read_to_end().endswith(END)
    browser.close()
    server.close()


@pytest.mark.rule("6120-11.7")
def test_white_space_without_end_is_dropped(edge: Gateway, xmpp_server: XmppServer, framing: str) -> None:
    """RFC 6120 section 11.7 allows any length of it between stanzas; wsgw keeps none."""
    pair = Pair(edge, xmpp_server, framing)
    with bounded(edge, 8):
        for _ in range(16):
            pair.server.send(b" \n" * (MIB // 2))
        pair.server.send(b"<message id='1'/>")
        assert b"id='1'" in pair.browser.message()
    pair.close()


def test_single_bytes_make_a_session(
    edge: Gateway, xmpp_server: XmppServer, witness: Pair, framing: str
) -> None:
    """It is slow, and correct."""
    browser, server = connected(edge, xmpp_server, framing)
    stanza = "<message id='1'><body>é &amp; <![CDATA[<b>]]></body></message>".encode()
    for byte in SERVER_HEADER + b"<stream:features/>" + stanza:
        server.send(bytes((byte,)))
    assert b"id='s1'" in browser.message()
    assert browser.message().startswith(b"<stream:features")
    assert browser.message().endswith(stanza[len(b"<message") :])
    witness.goes_on()
    browser.close()
    server.close()


@pytest.mark.rule("7395-3.3.3-each")
def test_ten_thousand_elements_at_once_are_delivered(
    edge: Gateway, xmpp_server: XmppServer, witness: Pair, framing: str
) -> None:
    """Each is its own message, in order, and other sessions do not wait for the last."""
    pair = Pair(edge, xmpp_server, framing)
    elements = [b"<a%d/>" % number for number in range(10_000)]
    with bounded(edge, 8):
        writer = threading.Thread(target=pair.server.send, args=(b"".join(elements),))
        writer.start()
        witness.goes_on()
        got = [pair.browser.message() for _ in elements]
        writer.join()
    declared = b" xmlns='jabber:client'/>" if framing == "rfc7395" else b"/>"
    assert got == [element[:-2] + declared for element in elements]
    pair.close()


def test_repeated_headers_and_features_are_delivered(
    edge: Gateway, xmpp_server: XmppServer, witness: Pair, framing: str
) -> None:
    """Every header restarts the stream; a thousand headers are a thousand messages, with no other cost."""
    pair = Pair(edge, xmpp_server, framing)
    features = b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
    with bounded(edge, 8):
        writer = threading.Thread(target=pair.server.send, args=((SERVER_HEADER + features) * 1000,))
        writer.start()
        for _ in range(1000):
            assert b"id='s1'" in pair.browser.message()
            assert b"starttls" not in pair.browser.message()
        writer.join()
    witness.goes_on()
    pair.close()


def test_features_with_many_children_take_linear_time(
    edge: Gateway, xmpp_server: XmppServer, framing: str
) -> None:
    """To drop every second one of thousands takes no quadratic time."""
    pair = Pair(edge, xmpp_server, framing)
    child = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><a/>"
    with bounded(edge, 5):
        writer = threading.Thread(
            target=pair.server.send, args=(b"<stream:features>%s</stream:features>" % (child * 5000),)
        )
        writer.start()
        message = pair.browser.message()
        writer.join()
    assert message.count(b"<a/>") == 5000
    assert b"starttls" not in message
    pair.close()


def test_bytes_after_the_end_of_the_stream_are_not_read(
    edge: Gateway, xmpp_server: XmppServer, witness: Pair, framing: str
) -> None:
    """Even another end of the stream."""
    pair = Pair(edge, xmpp_server, framing)
    pair.server.send(END + END + b"<message/>" + SERVER_HEADER)
    assert pair.browser.until_close() == ([CLOSINGS[framing]], 1000, "")
    witness.goes_on()
    pair.close()


@pytest.mark.rule("6455-5.5.1-reason")
def test_a_stream_error_of_any_kind_is_delivered(
    edge: Gateway, xmpp_server: XmppServer, framing: str
) -> None:
    """Undefined conditions, names longer than the 123 bytes of a Close, and no condition."""
    namespace = b"urn:ietf:params:xml:ns:xmpp-streams"
    for child, reason in (
        (b"<%s xmlns='%s'/>" % ("é".encode() * 500, namespace), "é" * 61),
        (b"<a xmlns='urn:other'/>", "undefined-condition"),
        (b"", "undefined-condition"),
        (b"<text xmlns='%s'>why</text>" % namespace, "undefined-condition"),
        (b"<see-other-host xmlns='%s'>&#10;&lt;\xe2\x82\xac</see-other-host>" % namespace, "see-other-host"),
    ):
        pair = Pair(edge, xmpp_server, framing)
        pair.server.send(b"<stream:error>%s</stream:error>" % child)
        messages, code, got = pair.browser.until_close()
        assert (code, got) == (1000, reason)
        assert child in messages[0]
        assert messages[1:] == [CLOSINGS[framing]]
        pair.close()


def test_random_bytes_end_in_order_or_continue(
    edge: Gateway, xmpp_server: XmppServer, witness: Pair, framing: str
) -> None:
    """Any bytes after a good beginning: an orderly end, or a session that lives until the server leaves."""
    for size in (1, 10, 100, 1000, 100_000):
        pair = Pair(edge, xmpp_server, framing)
        send(pair.server, b"<message>" + os.urandom(size))
        with contextlib.suppress(OSError):
            pair.server.fin()
        assert_failed(pair.browser, framing)
        pair.close()
    witness.goes_on()
