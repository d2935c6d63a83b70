"""Hostile XML from the browser: each kind ends its session with the right error, at low cost, and no other.

RFC 6120 sections 11.1 to 11.6, RFC 7395 section 3.3.3; through a real gateway process.
"""

from __future__ import annotations

import pytest

from tests.support.edges import Pair, StartEdge
from tests.support.gateway import Gateway
from tests.support.hostile import bounded, farewell_of
from tests.support.wire import CLOSE_7395, CLOSINGS, OPENINGS, Browser, XmppServer, frame

pytestmark = pytest.mark.slow

FRAMINGS = ("rfc7395", "legacy")
LIMIT = 262_144
OPTIONS = f"{{max_stanza_size, {LIMIT}}}, {{websocket_ping_interval, infinity}}, {{auth_timeout, 60}}, "

LAUGHS = b"<!DOCTYPE lolz [<!ENTITY l0 'lol'>%s]><m>&l9;</m>" % b"".join(
    b"<!ENTITY l%d '%s'>" % (level, b"&l%d;" % (level - 1) * 10) for level in range(1, 10)
)
QUADRATIC = b"<!DOCTYPE m [<!ENTITY a '%s'>]><m>%s</m>" % (b"x" * 50_000, b"&a;" * 50_000)

#: By the condition of the answer.
RESTRICTED = {
    "doctype": b"<!DOCTYPE m><m/>",
    "doctype of another file": b"<!DOCTYPE m SYSTEM 'file:///etc/passwd'><m/>",
    "doctype of another host": b"<!DOCTYPE m PUBLIC 'p' 'http://127.0.0.1:9/x.dtd'><m/>",
    "doctype after a declaration": b"<?xml version='1.0'?><!DOCTYPE m><m/>",
    "doctype in an element": b"<m><!DOCTYPE m [<!ENTITY a 'b'>]></m>",
    "doctype after the element": b"<m/><!DOCTYPE m>",
    "doctype left open": b"<!DOCTYPE m [" + b"<!ENTITY a 'b'>" * 10_000,
    "billion laughs": LAUGHS,
    "quadratic blow-up": QUADRATIC,
    "external entity": b"<!DOCTYPE m [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><m>&a;</m>",
    "parameter entity": b"<!DOCTYPE m [<!ENTITY % a SYSTEM 'http://127.0.0.1:9/'> %a;]><m/>",
    "entity in text": b"<m>&nbsp;</m>",
    "entity in an attribute": b"<m a='&lol;'/>",
    "instruction first": b"<?php echo 1?><m/>",
    "instruction in an element": b"<m><?xml-stylesheet href='x'?></m>",
    "instruction after the element": b"<m/><?a b?>",
    "second declaration": b"<?xml version='1.0'?><?xml version='1.0'?><m/>",
    "declaration in an element": b"<m><?xml version='1.0'?></m>",
    "comment first": b"<!-- c --><m/>",
    "comment in an element": b"<m><!-- c --></m>",
    "comment after the element": b"<m/><!-- c -->",
    "markup declaration": b"<m><!ELEMENT m EMPTY></m>",
}
NOT_WELL_FORMED = {
    "two roots": b"<m/><m/>",
    "ten thousand roots": b"<m/>" * 10_000,
    "text alone": b"hello",
    "text before": b"x<m/>",
    "text after": b"<m/>x",
    "CDATA alone": b"<![CDATA[<m/>]]>",
    "CDATA after": b"<m/><![CDATA[]]>",
    "comment left open": b"<m><!--" + b"c" * 200_000,
    "CDATA left open": b"<m><![CDATA[" + b"]" * 200_000,
    "half a tag": b"<m a='",
    "half an element": b"<m><body>hello</body>",
    "only the first byte": b"<",
    "only an end tag": b"</m>",
    "an end tag too many": b"<m></m></m>",
    "the end of our own root": b"</messages><m/>",
    "another end tag": b"<m></n>",
    "no name": b"<>",
    "quotes missing": b"<m a=b/>",
    "quotes left open": b"<m a='" + b"x" * 200_000,
    "'<' in an attribute": b"<m a='<'/>",
    "attribute twice": b"<m a='1' a='2'/>",
    "attribute twice by namespace": b"<m xmlns:a='u' xmlns:b='u' a:c='' b:c=''/>",
    "prefix without a binding": b"<x:m/>",
    "prefix taken back": b"<m xmlns:x='u'><y xmlns:x=''/></m>",
    "xml bound anew": b"<m xmlns:xml='urn:other'/>",
    "xmlns bound": b"<m xmlns:xmlns='urn:other'/>",
    "two colons": b"<a:b:c xmlns:a='u'/>",
    "NUL": b"<m>\0</m>",
    "NUL alone": b"\0" * 1000,
    "control character": b"<m>\x01</m>",
    "control character in an attribute": b"<m a='\x1b'/>",
    "U+FFFE": b"<m>\xef\xbf\xbe</m>",
    "reference to NUL": b"<m>&#0;</m>",
    "reference to a surrogate": b"<m>&#xD800;</m>",
    "reference beyond Unicode": b"<m>&#x110000;</m>",
    "reference that overflows": b"<m>&#99999999999999999999;</m>",
    "byte order mark": b"\xef\xbb\xbf<m/>",
    "bad declaration": b"<?xml version='2.0'?><m/>",
    "declaration left open": b"<?xml " + b"x" * 1000,
    "']]>' in text": b"<m>]]></m>",
}
UNSUPPORTED_ENCODING = {
    "utf-16 declared": b"<?xml version='1.0' encoding='utf-16'?><m/>",
    "latin-1 declared": b"<?xml version='1.0' encoding='ISO-8859-1'?><m/>",
    "utf-7 declared": b"<?xml version='1.0' encoding='UTF-7'?><m/>",
    "utf-16 in bytes": "<m/>".encode("utf-16"),
    "latin-1 in bytes": b"<m>caf\xe9</m>",
    "overlong": b"<m>\xc0\xbc</m>",
    "surrogate in bytes": b"<m>\xed\xa0\x80</m>",
    "beyond Unicode in bytes": b"<m>\xf4\x90\x80\x80</m>",
    "half a character": b"<m>\xe2\x82",
}
POLICY_VIOLATION = {
    "depth": b"<a>" * 101 + b"</a>" * 101,
    "endless depth": b"<a>" * 80_000,
    "deep and prefixed": b"<a:a xmlns:a='u'>" * 15_000,
    "attributes": b"<m %s/>" % b" ".join(b"a%d=''" % number for number in range(257)),
    "attributes without end": b"<m %s/>" % b" ".join(b"a%d=''" % number for number in range(25_000)),
    "declarations": b"<m %s/>" % b" ".join(b"xmlns:a%d='u'" % number for number in range(257)),
    "declarations without end": b"<m %s/>" % b" ".join(b"xmlns:a%d='u'" % n for n in range(14_000)),
}
KINDS = {
    **{name: (message, "restricted-xml", 1008) for name, message in RESTRICTED.items()},
    **{name: (message, "not-well-formed", 1008) for name, message in NOT_WELL_FORMED.items()},
    **{name: (message, "unsupported-encoding", 1007) for name, message in UNSUPPORTED_ENCODING.items()},
    **{name: (message, "policy-violation", 1008) for name, message in POLICY_VIOLATION.items()},
    "oversize": (b"<m>%s</m>" % (b"x" * LIMIT), "policy-violation", 1009),
}

#: Messages that look hostile and are correct: they reach the server unchanged.
HARMLESS = {
    "the five entities": b"<m a='&lt;&apos;&quot;'>&lt;&amp;&gt;</m>",
    "character references": b"<m>&#9;&#x10FFFF;&#38;lt;</m>",
    "markup in CDATA": b"<m><![CDATA[<!DOCTYPE a [<!ENTITY b 'c'>]>&b;<!-- --><?a?>]]></m>",
    "markup in an attribute": b"<m a='>&lt;!-- --> ?> ]]>'/>",
    "depth": b"<a>" * 100 + b"</a>" * 100,
    "attributes": b"<m %s/>" % b" ".join(b"a%d=''" % number for number in range(256)),
    "long attribute": b"<m a='%s'/>" % (b"x" * 250_000),
    "long name": b"<%s/>" % (b"n" * 250_000),
    "long namespace": b"<m xmlns='%s'><a/></m>" % (b"u" * 5000),
    "a blank in a namespace": b"<m xmlns='urn: x '><a/></m>",
    "a namespace before every name": b"<m xmlns='%s'>%s</m>" % (b"u" * 130_000, b"<a/>" * 32_000),
    "a namespace before every prefixed name": b"<m xmlns:p='%s'>%s</m>"
    % (b"u" * 100_000, b"<p:a/>" * 25_000),
    "elements": b"<m>%s</m>" % (b"<a/>" * 60_000),
    "names": b"<m>%s</m>" % b"".join(b"<a%d/>" % number for number in range(25_000)),
    "references": b"<m>%s</m>" % (b"&#60;" * 50_000),
    "any letters": "<é ü='世界'>😀</é>".encode(),
    "exactly the limit": b"<m>%s</m>" % (b"x" * (LIMIT - 7)),
}


@pytest.fixture(scope="module")
def edge(start_edge: StartEdge) -> Gateway:
    return start_edge(ws_options=OPTIONS)


def assert_ended(pair: Pair, condition: str, code: int) -> None:
    """Assert error, close and Close for the browser, error and end tag for the server (table of endings)."""
    messages, got, reason = pair.browser.until_close()
    assert b"<stream:error" in messages[-2], messages
    assert b"<" + condition.encode() + b" " in messages[-2], messages
    assert messages[-1] == CLOSINGS[pair.framing]
    assert (got, reason) == (code, condition)
    start, end = farewell_of(condition)
    farewell = pair.server.read_to_end()
    assert farewell.startswith(start), farewell[:200]
    assert farewell.endswith(end)
    pair.close()


@pytest.mark.rule(
    "7395-3.3.3-first", "6120-4.9.3", "6120-11.1", "6120-11.3", "6120-11.6", "end-xml", "end-reason"
)
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(("message", "condition", "code"), KINDS.values(), ids=KINDS)
def test_hostile_xml_in_a_session_ends_it(
    edge: Gateway,
    xmpp_server: XmppServer,
    witness: Pair,
    framing: str,
    message: bytes,
    condition: str,
    code: int,
) -> None:
    """Both sides get the right error, at bounded cost; no part of the message reaches the server."""
    pair = Pair(edge, xmpp_server, framing)
    data = frame(message)
    with bounded(edge, 4):
        pair.browser.send(data)
        assert_ended(pair, condition, code)
    witness.goes_on()


#: Without those that are a valid opening, or too long for one.
FIRST = [
    kind
    for kind, (message, condition, _) in KINDS.items()
    if len(message) > 10_000
    or (condition != "policy-violation" and not message.startswith((b"<m", b"<a", b"<x:")))
]


@pytest.mark.parametrize("kind", FIRST)
def test_hostile_xml_as_the_first_message_ends_the_session(edge: Gateway, witness: Pair, kind: str) -> None:
    """A message before login has at most 10 000 bytes; wsgw sends its header and connects to no server."""
    message, condition, code = KINDS[kind]
    if len(message) > 10_000:
        condition, code = "policy-violation", 1009
    browser = Browser(edge.ws_port)
    with bounded(edge, 4):
        browser.text(message)
        messages, got, reason = browser.until_close()
    assert messages[0].startswith((b"<open ", b"<stream:stream "))
    assert b"<" + condition.encode() + b" " in messages[1], messages
    assert len(messages) == 3
    assert (got, reason) == (code, condition)
    browser.close()
    witness.goes_on()


@pytest.mark.rule("xml-cost")
@pytest.mark.parametrize(
    ("inside", "condition"),
    [
        (b"".join(b" a%d=''" % number for number in range(257)), "policy-violation"),
        (b"".join(b" xmlns:a%d='u'" % number for number in range(257)), "policy-violation"),
        (b" a='&lol;'", "restricted-xml"),
        (b" a='\x01'", "not-well-formed"),
        (b" id='1' id='2'", "not-well-formed"),
    ],
    ids=["attributes", "declarations", "entity", "control character", "attribute twice"],
)
@pytest.mark.parametrize("framing", FRAMINGS)
def test_hostile_xml_in_a_header_ends_the_session(
    edge: Gateway, witness: Pair, framing: str, inside: bytes, condition: str
) -> None:
    """In legacy framing every element inherits the bindings of the client's header."""
    browser = Browser(edge.ws_port)
    browser.text(OPENINGS[framing].replace(b" version=", inside + b" version="))
    messages, _, reason = browser.until_close()
    assert messages[0].startswith(b"<open " if framing == "rfc7395" else b"<stream:stream ")
    assert reason == condition
    browser.close()
    witness.goes_on()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_long_namespace_in_a_header_has_a_bounded_cost(
    edge: Gateway, xmpp_server: XmppServer, framing: str
) -> None:
    declaration = b" xmlns:a='%s'" % (b"u" * 2000)
    browser = Browser(edge.ws_port)
    browser.text(OPENINGS[framing].replace(b" version=", declaration + b" a:b='' version="))
    server = xmpp_server.accept_stream()
    assert b"id='s1'" in browser.message()
    assert b"success" in browser.message()
    stanza = b"<message xmlns='jabber:client'><x/></message>"
    browser.text(stanza)
    assert server.read(len(stanza)) == stanza
    browser.close()
    server.close()


@pytest.mark.rule("6120-11.1")
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("message", HARMLESS.values(), ids=HARMLESS)
def test_harmless_xml_passes_byte_for_byte(
    edge: Gateway, xmpp_server: XmppServer, witness: Pair, framing: str, message: bytes
) -> None:
    """Although it looks hostile."""
    pair = Pair(edge, xmpp_server, framing)
    data = frame(message)
    with bounded(edge, 4):
        pair.browser.send(data)
        assert pair.server.read(len(message)) == message
    witness.goes_on()
    pair.close()


@pytest.mark.rule("7395-3.3.3-declaration")
@pytest.mark.parametrize(
    "declaration", [b"<?xml version='1.0'?>", b"  <?xml version='1.0' encoding='UTF-8'?>\n"]
)
def test_a_declaration_is_tolerated_and_not_forwarded(
    edge: Gateway, xmpp_server: XmppServer, declaration: bytes
) -> None:
    """RFC 7395 section 3.3.3 allows it; a second one inside the TCP stream would end that stream."""
    pair = Pair(edge, xmpp_server)
    pair.browser.text(declaration + b"<presence xmlns='jabber:client'/>")
    pair.browser.text(CLOSE_7395)
    assert pair.server.read_until(b"</stream:stream>") == (
        b"<presence xmlns='jabber:client'/></stream:stream>"
    )
    pair.close()


#: The most expensive of each kind, in many sessions at once.
BURSTS = (
    "billion laughs",
    "quadratic blow-up",
    "comment left open",
    "ten thousand roots",
    "quotes left open",
    "endless depth",
    "deep and prefixed",
    "attributes without end",
    "declarations without end",
    "latin-1 in bytes",
    "oversize",
)


@pytest.mark.rule("xml-cost")
@pytest.mark.parametrize("kind", BURSTS)
def test_a_burst_of_hostile_xml_has_a_bounded_cost(
    edge: Gateway, xmpp_server: XmppServer, witness: Pair, kind: str
) -> None:
    """Twenty at once: memory and time are bounded, and another session is served meanwhile."""
    message, condition, code = KINDS[kind]
    data = frame(message)
    pairs = [Pair(edge, xmpp_server, FRAMINGS[number % 2]) for number in range(20)]
    with bounded(edge, 10):
        for pair in pairs:
            pair.browser.send(data)
        witness.goes_on()
        for pair in pairs:
            assert_ended(pair, condition, code)


def test_a_burst_of_large_stanzas_frees_its_memory(
    edge: Gateway, xmpp_server: XmppServer, witness: Pair
) -> None:
    """Two hundred large stanzas of one session."""
    pair = Pair(edge, xmpp_server)
    kinds = ["names", "elements", "references", "long attribute"]
    frames = [(frame(HARMLESS[kind]), len(HARMLESS[kind])) for kind in kinds]
    with bounded(edge, 40):
        for number in range(40):
            data, size = frames[number % len(frames)]
            pair.browser.send(data)
            pair.server.read(size)
    witness.goes_on()
    pair.close()
