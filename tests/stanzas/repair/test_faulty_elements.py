"""A stanza loses only the faulty elements that another user wrote into it."""

from __future__ import annotations

import pytest

from tests.stanzas.repair.feeding import ERROR, HEADER, MIB, NEXT, NS1, UNREADABLE, fed, message, passed
from wsgw.stanzas.cutter import SMALL
from wsgw.stanzas.server import ServerStream


@pytest.mark.slow
@pytest.mark.parametrize("declaration", [b"", b"<?xml version='1.0'?>"])
@pytest.mark.parametrize(
    "stanza",
    [
        b"<message><x xmlns='%s'/></message>" % (b"u" * 5000),
        b"<message><body %s/></message>" % NS1,
        b"<message><q:x/></message>",
        b"<message>%s</message>" % (b"x" * (8 * MIB + 1)),
        b"<message %s" % b" ".join(b"a%d=''" % number for number in range(100_000)),
    ],
    ids=["long namespace", "namespace of xml", "unbound prefix", "size", "tag"],
)
def test_a_stanza_in_the_chunk_of_the_header_is_repaired_too(stanza: bytes, declaration: bytes) -> None:
    stanza += b"></message>" if not stanza.endswith(b">") else b""
    data = declaration + HEADER + stanza + NEXT
    outcomes = []
    for pieces in (
        [data],
        [declaration + HEADER, stanza + NEXT],
        [declaration + HEADER + stanza[:4000], data],
    ):
        if pieces[-1] is data and len(pieces) > 1:
            pieces[-1] = data[len(pieces[0]) :]
        stream = ServerStream()
        elements = [element for piece in pieces for _, element in _all_of(stream, piece)]
        assert stream.failure is None, stream.failure
        outcomes.append(elements)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert [elements[0] for elements in outcomes] == [HEADER] * 3
    assert [elements[-1] for elements in outcomes] == [NEXT] * 3


def _all_of(stream: ServerStream, piece: bytes) -> list[tuple[str, bytes]]:
    events = stream.feed(piece)
    while stream.busy:
        events += stream.feed(b"")
    return events


FAULTY = {
    "an attribute of Prosody's": b"<body %s>hi <b/></body>" % NS1,
    "an unbound prefix": b"<p:a>x<b/></p:a>",
    "an unbound prefix of an attribute": b"<a p:b=''/>",
    "two colons": b"<stream:b:c></stream:b:c >",
    "two colons in an attribute": b"<a xml:b:c=''/>",
    "a prefix undeclared": b"<a xmlns:p=''><b/></a>",
    "a reserved prefix": b"<a xmlns:xml='u'/>",
    "a reserved namespace": b"<a xmlns='http://www.w3.org/2000/xmlns/'/>",
    "an attribute twice": b"<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>",
    "a fault in a fault": b"<p:a><q:b>x</q:b><r:c/></p:a>",
    "a long namespace beside": b"<p:a xmlns='%s'/>" % (b"u" * 5000),
    "markup in a value": b"""<p:a b='/>' c="&lt;/message>">></p:a>""",
    "markup in CDATA": b"<p:a><![CDATA[</p:a>]]></p:a\n>",
    "one too deep": None,
}
_DEEP = SMALL.depth - 1


@pytest.mark.rule("xml-stanza")
@pytest.mark.parametrize("name", FAULTY)
@pytest.mark.parametrize("around", [b"%s", b"<a><b/>%s</a><c/>", b"<x xmlns='urn: '>t%st</x>"])
def test_the_smallest_faulty_element_is_removed(name: str, around: bytes) -> None:
    content = FAULTY[name]
    if content is None:
        if around != b"%s":
            return
        around = b"<a>" * _DEEP + b"%s" + b"</a>" * _DEEP
        content = b"<a><b/>x</a>"
    stanza, rest = message(around % (content * 2)), message(around.replace(b"%s", b""))
    for size in (1 << 30, 1000, 7) if len(stanza) < 4000 else (1 << 30, 1000):
        assert passed(stanza * 2, size) == [rest] * 2
    stream = fed(stanza)
    assert [repair.sender for repair in stream.repairs] == ["m@b/c"]
    assert set(stream.repairs[0].reasons) == {"depth" if name == "one too deep" else "namespace"}


@pytest.mark.rule("xml-stanza")
@pytest.mark.parametrize("stanza", ["message", "presence", "iq"])
@pytest.mark.parametrize(
    ("attributes", "kept"),
    [
        (
            "p:a='' id='1' from='a&amp;b' to='c' type='error' xml:lang='en' b=''",
            "from='a&amp;b' to='c' id='1' type='error' xml:lang='en'",
        ),
        ("xmlns:q='u &#10;' xmlns:p='' id=\"'\"", "xmlns:q='u &#10;' id='&apos;'"),
        ("a:b:c=''", ""),
    ],
)  # fmt: skip
def test_a_faulty_tag_of_a_stanza_is_rewritten(stanza: str, attributes: str, kept: str) -> None:
    content = "<body>hi</body><stream:x/>" + ("<q:y/>" if "xmlns:q" in kept else "")
    kept = f" {kept}" if kept else ""
    whole = f"<{stanza} {attributes}>{content}</{stanza} >".encode()
    assert passed(whole) == [f"<{stanza}{kept}>{content}</{stanza} >".encode()]
    assert passed(f"<{stanza} {attributes}/>".encode()) == [f"<{stanza}{kept}/>".encode()]


FORWARDS = {
    "archive": (
        b"<result xmlns='urn:xmpp:mam:2' id='9'><forwarded xmlns='urn:xmpp:forward:0'><delay/>",
        b"</forwarded></result>",
    ),
    "carbon": (
        b"<r xmlns='urn:xmpp:carbons:2'><f:forwarded xmlns:f='urn:xmpp:forward:0'><a></a>",
        b"</f:forwarded></r>",
    ),
}


@pytest.mark.rule("xml-stanza")
@pytest.mark.parametrize(("before", "after"), FORWARDS.values(), ids=FORWARDS)
def test_a_faulty_tag_of_a_forwarded_stanza_is_rewritten(before: bytes, after: bytes) -> None:
    """A client that gets an empty ``<forwarded/>`` may show no message of that page of the archive."""
    for tag in (b"message xmlns='jabber:client'", b"m:iq xmlns:m='jabber:client'"):
        name = tag.split()[0]
        for content in (b">x<b/></%s>" % name, b"/>"):
            stanza = b"<%s %s a='' from='m@b/c' id='1'%s" % (tag, NS1, content)
            rest = b"<%s from='m@b/c' id='1'%s" % (tag, content)
            assert passed(message(before + stanza + after)) == [message(before + rest + after)]


@pytest.mark.parametrize(
    "faulty",
    [
        b"<p:message xmlns='jabber:client' from='a'/>",
        b"<message xmlns='urn:else' a:b:c=''/>",
        b"<body p:a=''/>",
        b"<message p:a=''/>",
    ],
)
def test_an_element_that_is_no_forwarded_stanza_is_removed(faulty: bytes) -> None:
    before, after = FORWARDS["archive"]
    assert passed(message(before + faulty + after)) == [message(before + after)]
    assert passed(message(b"<a>%s</a>" % faulty)) == [message(b"<a></a>")]


@pytest.mark.rule("xml-stanza")
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("result", b"<iq from='x' id='1' type='error'>" + ERROR + b"</iq>"),
        ("get", b"<iq type='get' id='1' from='x'>" + UNREADABLE + b"</iq>"),
        ("set", b"<iq type='set' id='1' from='x'>" + UNREADABLE + b"</iq>"),
        ("error", b"<iq type='error' id='1' from='x'> </iq>"),
    ],
)
def test_an_iq_that_loses_its_content_becomes_an_error(kind: str, expected: bytes) -> None:
    start = f"<iq type='{kind}' id='1' from='x'>".encode()
    assert passed(start + b"<p:a/> </iq>") == [expected]
    assert passed(start + b"<p:a/><query xmlns='u'/></iq>") == [start + b"<query xmlns='u'/></iq>"]
    assert passed(start + b"<query xmlns=' '><p:a/></query></iq>") == [
        start + b"<query xmlns=' '></query></iq>"
    ]


def test_an_iq_that_was_empty_stays_empty() -> None:
    assert passed(b"<iq type='result' id='1' p:a=''/>") == [b"<iq id='1' type='result'/>"]


@pytest.mark.parametrize("prefixed", [b"<c:iq xmlns:c='jabber:client' type='%s' id='1'><p:a/></c:iq>"])
def test_a_prefixed_iq_that_loses_its_content_becomes_an_error(prefixed: bytes) -> None:
    (result,) = passed(prefixed % b"result")
    assert result == b"<c:iq xmlns:c='jabber:client' id='1' type='error'>" + ERROR + b"</c:iq>"


@pytest.mark.rule("xml-stanza")
@pytest.mark.parametrize("kind", ["chat", "groupchat", "normal"])
def test_no_message_or_presence_becomes_an_error(kind: str) -> None:
    for name in ("message", "presence"):
        whole = f"<{name} type='{kind}' from='room@c/n'><p:a/></{name}>".encode()
        assert passed(whole) == [whole.replace(b"<p:a/>", b"")]


BROKEN = {
    "an element with an unbound prefix": b"<p:a/>",
    "a stanza with an unbound prefix": b"<p:message/>",
    "an element with a faulty attribute": b"<r xmlns='urn:xmpp:sm:3' p:a=''/>",
    "features with a fault": b"<stream:features><p:a/></stream:features>",
    "a header with too long a namespace": b"<stream:stream xmlns:p='%s'>" % (b"u" * 5000),
    "a header with a fault": b"<stream:stream p:a=''>",
    "crossed tags": b"<message><p:a></message></p:a>",
    "crossed tags in a fault": b"<message><p:a><b></c></p:a></message>",
    "an attribute twice": b"<message><p:a/><b c='' c=''/></message>",
    "an entity": b"<message><p:a/>&b;</message>",
    "a comment": b"<message><p:a/><!-- --></message>",
    "an instruction": b"<message><p:a/><?b?></message>",
    "no UTF-8": b"<message><p:a/>\xff</message>",
    "text before a faulty stanza": b"x<message p:a=''/>",
    "text before a long namespace": b"x<message xmlns:p='%s'/>" % (b"u" * 5000),
    "an end tag too many": b"<message><p:a/></message></message>",
}


@pytest.mark.rule("xml-stanza")
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_malformed_xml_or_an_element_that_is_no_stanza_ends_the_stream(data: bytes) -> None:
    for size in (1 << 30, 7):
        stream = fed(NEXT + data, size)
        assert stream.failure is not None
        assert stream.elements[0] == NEXT
        assert NEXT not in stream.elements[1:]
