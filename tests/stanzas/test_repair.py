"""What another user may write into a stanza costs that stanza its faulty elements, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.oracles import is_one_element, repaired, tree
from wsgw.stanzas import cutter, repair, server
from wsgw.stanzas.cutter import ANYTHING_UP_TO, LARGE, SMALL, TAG_LIMIT, Bounds
from wsgw.stanzas.markup import CompleteMarkup
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
    """What comes of stanzas, which arrive in pieces of ``size``; the one after them must come too."""
    stream = fed(data, size)
    assert stream.failure is None, stream.failure
    assert stream.at_border
    *stanzas, following = stream.elements
    assert following == NEXT
    return stanzas


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
def test_a_stanza_that_comes_with_the_header_is_repaired_too(stanza: bytes, declaration: bytes) -> None:
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


class Fed(ServerStream):
    """A stream, and the elements that came of what it was fed."""

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


# -- what is namespace-well-formed ---------------------------------------------------------------------

WELL_FORMED = {
    "a blank in a namespace": b"<x xmlns='urn:example:thing '/>",
    "blanks only": b"<p:x xmlns:p='  '/>",
    "a tab": b"<x xmlns='urn:\tx'/>",
    "a line break": b"<p:x xmlns:p='urn:\n'><p:y p:z=''/></p:x>",
    "references to white space": b"<x xmlns='&#32;&#9;&#10;&#13;'/>",
    "a separator of others": b"<x xmlns='urn:|x}'/>",
    "a long namespace": b"<x xmlns='%s'><y/></x>" % (b"u" * 5000),
    "a very long namespace": b"<p:x xmlns:p='%s' p:y=''>%s</p:x>" % (b"u" * 300 * KIB, b"<p:a/>" * 9000),
    "the deepest": b"<a>" * (SMALL.depth - 1) + b"</a>" * (SMALL.depth - 1),
    "20 000 names": b"".join(b"<n%d a%d=''/>" % (number, number) for number in range(20_000)),
    "20 000 attributes": b"<x %s/>" % b" ".join(b"a%d=''" % number for number in range(20_000)),
    "20 000 prefixes": b"<x %s/>" % b" ".join(b"xmlns:p%d='u'" % number for number in range(20_000)),
    "other scripts": "<é xmlns='ü'>日本</é>".encode(),
    "CDATA": b"<a><![CDATA[<p:b>]]></a>",
    "long CDATA like a tag": b"<a><![CDATA[ <%s> ]]></a>" % (b"x" * (TAG_LIMIT + 1)),
    "long CDATA like a costly tag": b"<a><![CDATA[<a xmlns:p='%s' %s>]]></a>"
    % (b"u" * 9000, b" ".join(b"p:a%d=''" % number for number in range(1000))),
    "attributes in a long namespace": b"<x><p:x xmlns:p='%s' %s/>t</x>"
    % (b"u" * 9000, b" ".join(b"p:a%d=''" % number for number in range(1000))),
}


@pytest.mark.parametrize("content", WELL_FORMED.values(), ids=WELL_FORMED)
def test_the_well_formed_passes_byte_for_byte(content: bytes) -> None:
    stanza = message(content)
    for size in (1 << 30, 64 * KIB, 999):
        assert passed(stanza * 2, size) == [stanza] * 2


def test_a_megabyte_of_anything_passes_byte_for_byte() -> None:
    content = (
        b"<a>" * 3000 + b"</a>" * 3000 + b"".join(b"<n%d/>" % number for number in range(100_000, 205_000))
    )
    stanza = message(content[: 21_000 + (ANYTHING_UP_TO - 21_100) // 10 * 10])
    assert ANYTHING_UP_TO - 200 < len(stanza) <= ANYTHING_UP_TO
    assert passed(stanza) == [stanza]


# -- what is not ---------------------------------------------------------------------------------------

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


@pytest.mark.parametrize("name", FAULTY)
@pytest.mark.parametrize("around", [b"%s", b"<a><b/>%s</a><c/>", b"<x xmlns='urn: '>t%st</x>"])
def test_the_smallest_faulty_element_is_taken_out(name: str, around: bytes) -> None:
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
    assert [fault.sender for fault in stream.faults] == ["m@b/c"]
    assert set(stream.faults[0].reasons) == {"depth" if name == "one too deep" else "namespace"}


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
def test_a_faulty_tag_of_a_stanza_is_written_anew(stanza: str, attributes: str, kept: str) -> None:
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


@pytest.mark.parametrize(("before", "after"), FORWARDS.values(), ids=FORWARDS)
def test_a_faulty_tag_of_a_forwarded_stanza_is_written_anew(before: bytes, after: bytes) -> None:
    """A client that gets nothing in ``<forwarded/>`` may show no page of the archive at all."""
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
def test_what_is_no_forwarded_stanza_is_taken_out(faulty: bytes) -> None:
    before, after = FORWARDS["archive"]
    assert passed(message(before + faulty + after)) == [message(before + after)]
    assert passed(message(b"<a>%s</a>" % faulty)) == [message(b"<a></a>")]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("result", b"<iq from='x' id='1' type='error'>" + ERROR + b"</iq>"),
        ("get", b"<iq type='get' id='1' from='x'>" + UNREADABLE + b"</iq>"),
        ("set", b"<iq type='set' id='1' from='x'>" + UNREADABLE + b"</iq>"),
        ("error", b"<iq type='error' id='1' from='x'> </iq>"),
    ],
)
def test_an_iq_that_loses_its_content_still_says_the_truth(kind: str, expected: bytes) -> None:
    start = f"<iq type='{kind}' id='1' from='x'>".encode()
    assert passed(start + b"<p:a/> </iq>") == [expected]
    assert passed(start + b"<p:a/><query xmlns='u'/></iq>") == [start + b"<query xmlns='u'/></iq>"]
    assert passed(start + b"<query xmlns=' '><p:a/></query></iq>") == [
        start + b"<query xmlns=' '></query></iq>"
    ]


def test_an_iq_that_was_empty_stays_empty() -> None:
    assert passed(b"<iq type='result' id='1' p:a=''/>") == [b"<iq id='1' type='result'/>"]


@pytest.mark.parametrize("prefixed", [b"<c:iq xmlns:c='jabber:client' type='%s' id='1'><p:a/></c:iq>"])
def test_a_prefixed_iq_that_loses_its_content(prefixed: bytes) -> None:
    (result,) = passed(prefixed % b"result")
    assert result == b"<c:iq xmlns:c='jabber:client' id='1' type='error'>" + ERROR + b"</c:iq>"


@pytest.mark.parametrize("kind", ["chat", "groupchat", "normal"])
def test_no_message_or_presence_becomes_an_error(kind: str) -> None:
    for name in ("message", "presence"):
        whole = f"<{name} type='{kind}' from='room@c/n'><p:a/></{name}>".encode()
        assert passed(whole) == [whole.replace(b"<p:a/>", b"")]


# -- what breaks the stream ----------------------------------------------------------------------------

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


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_what_is_no_xml_or_no_stanza_ends_the_stream(data: bytes) -> None:
    for size in (1 << 30, 7):
        stream = fed(NEXT + data, size)
        assert stream.failure is not None
        assert stream.elements[0] == NEXT
        assert NEXT not in stream.elements[1:]


# -- beyond the bounds ---------------------------------------------------------------------------------

FILLING = b"<body>" + b"x" * ANYTHING_UP_TO + b"</body>"


@pytest.mark.parametrize("first", [True, False])
def test_a_large_stanza_has_narrower_bounds(first: bool) -> None:
    """They hold for all of it, also for what came before it was seen to be large."""
    depth = int(LARGE.depth) - 1
    for more in (0, 1, 5000):
        deep = b"<a>" * (depth + more) + b"</a>" * (depth + more)
        kept = b"<a>" * depth + b"</a>" * depth
        parts, expected = ([deep, FILLING], [kept, FILLING])
        if not first:
            parts, expected = parts[::-1], expected[::-1]
        assert passed(message(b"".join(parts))) == [message(b"".join(expected))], more
    names = [b"<n%d/>" % number for number in range(30_000)]
    parts = [b"".join(names), FILLING]
    stream = fed(message(b"".join(parts if first else parts[::-1])))
    assert stream.failure is None
    result, following = stream.elements
    assert following == NEXT
    assert set(stream.faults[0].reasons) == {"names"}
    known = result.count(b"<n")
    assert int(LARGE.names) - 20 < known <= int(LARGE.names)
    kept = [b"".join(names[:known]), FILLING]
    # The name of the last element is one too many, too.
    assert result == message(b"".join(kept if first else kept[::-1])).replace(b"<z/>", b"")


def test_a_large_stanza_within_its_bounds_passes_byte_for_byte() -> None:
    stanza = message(
        FILLING + b"<x xmlns='urn: '/>" + b"<a>" * 900 + b"</a>" * 900 + b"<p:b xmlns:p='u'/>" * 2000
    )
    assert passed(stanza) == [stanza]


@pytest.mark.parametrize("bounds", ["depth", "names"])
def test_what_is_too_deep_goes_on_for_long(bounds: str) -> None:
    """A fault that begins in a small stanza and ends in a large one."""
    depth = SMALL.depth + 200_000
    stanza = message(b"<a>" * depth + b"x" * ANYTHING_UP_TO + b"</a>" * depth)
    kept = b"<a>" * (int(LARGE.depth) - 1) + b"</a>" * (int(LARGE.depth) - 1)
    assert passed(stanza) == [message(kept)]


@pytest.mark.parametrize("where", ["its own tag", "another", "the text"])
def test_a_stanza_above_the_limit_becomes_its_own_tag(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    much = b"x" * 9 * MIB if where == "the text" else b"x" * (TAG_LIMIT + 1)
    for start, expected in (
        (b"<message from='m@b/c' type='groupchat'%s>", b"<message from='m@b/c' type='groupchat'/>"),
        (
            b"<iq from='m@b/c' id='1' type='get'%s>",
            b"<iq from='m@b/c' id='1' type='get'>" + UNREADABLE + b"</iq>",
        ),
        (
            b"<iq from='m@b/c' id='1' type='result'%s>",
            b"<iq from='m@b/c' id='1' type='error'>" + ERROR + b"</iq>",
        ),
    ):
        tag = start % (b" a='%s'" % much if where == "its own tag" else b"")
        content = {"its own tag": b"<a/>", "another": b"<a b='%s'/>" % much, "the text": much}[where]
        stanza = tag + content + b"</" + start[1:3].replace(b"me", b"message") + b">"
        assert passed(stanza) == [expected]
        assert [set(fault.reasons) for fault in fed(stanza).faults] == [{"size"}]


def test_a_parser_without_memory_is_a_fault_of_the_stanza() -> None:
    """expat bounds what it takes for what it reads; the gateway survives that limit too."""
    stream = fed(b"")
    stream.feed(b"<message from='m@b/c'><p:a/>")
    assert stream._repair is not None
    real = stream._repair._parser

    class Exhausted:
        ErrorByteIndex = 0

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def Parse(self, _data: bytes) -> None:
            real.Parse(b"")
            error = cutter.expat.ExpatError("out of memory")
            error.code = 1
            raise error

    stream._repair._parser = Exhausted()  # type: ignore[assignment]
    events = stream.feed(b"<b>" * 9)
    assert events == []
    events = stream.feed(b"</b>" * 9 + b"</message>" + NEXT)
    assert [element for _, element in events] == [b"<message from='m@b/c'/>", NEXT]
    assert [set(fault.reasons) for fault in stream.take_faults()] == [{"memory"}]


# -- what it costs -------------------------------------------------------------------------------------

_COSTLY = {
    "depth": "b'<a>' * (size // 7) + b'</a>' * (size // 7)",
    "depth with a fault": "b'<a>' * (size // 7) + b'<p:x/>' + b'</a>' * (size // 7)",
    "names": "b''.join(b'<n%x/>' % n for n in range(size // 9))",
    "names of a long namespace": "b'<x xmlns=\"%s\">' % (b'u' * 250)"
    " + b''.join(b'<n%x/>' % n for n in range(size // 9)) + b'</x>'",
    "faulty names": "b''.join(b'<p:%x/>' % n for n in range(0xa00000, 0xa00000 + size // 11))",
    "attributes": "b'<x ' + b' '.join(b'a%x=\"\"' % n for n in range(size // 9)) + b'/>' ",
    "prefixes": "b''.join(b'<p%x:a xmlns:p%x=\"u%x\"/>' % (n, n, n) for n in range(size // 32))",
    "a long namespace": "b'<x xmlns=\"%s\">' % (b'u' * (size // 2)) + b'<a/>' * (size // 8) + b'</x>'",
    "attributes in a long namespace": "b'<x xmlns:p=\"%s\" %s/>' % (b'u' * (size // 8),"
    " b' '.join(b'p:a%x=\"\"' % n for n in range(size // 32)))",
    "CDATA sections that are too deep": "b'<a>' * 4100 + b'<![CDATA[]]>' * (size // 15) + b'</a>' * 4100",
    "long namespaces, attributes twice": "b'<x xmlns:p=\"%s\" xmlns:q=\"%s\">' % (2 * (b'u' * (size // 4),))"
    " + b'<a p:b=\"\" q:b=\"\"/>' * (size // 36) + b'</x>'",
}
_PROGRAM = """
import resource, sys, time
sys.path[:0] = {path!r}
from tests.stanzas.test_repair import fed, message

def cost(size):
    data = message({content})
    began = time.process_time()
    stream = fed(data)
    seconds = time.process_time() - began
    assert stream.failure is None and len(stream.elements) == 2
    return len(data), seconds

cost({size} // 99)
_, shorter = cost({size} // 4)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
length, seconds = cost({size})
memory = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(memory / length, seconds / shorter)
"""


@pytest.mark.parametrize("kind", _COSTLY)
def test_memory_and_time_are_bounded_by_the_size(kind: str) -> None:
    """At most fifty times the stanza's size, and linear in it, whatever it holds."""
    program = _PROGRAM.format(path=sys.path, size=ANYTHING_UP_TO - 2000, content=_COSTLY[kind])
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    memory, time_of_four_times_the_size = map(float, output.split())
    assert memory < 50
    assert time_of_four_times_the_size < 10


def test_a_long_repair_leaves_time_for_others() -> None:
    """One turn of it takes a part, and only then what came after it is read."""
    stream = Fed()
    stream.feed(HEADER)
    stanza = message(b"<a/>" * 100_000 + b"<p:a/>")
    turns = [stream.feed(stanza + NEXT)]
    assert stream.unusual
    assert stream.busy
    while stream.busy:
        began = time.process_time()
        turns.append(stream.feed(b""))
        assert time.process_time() - began < 1
    assert len(turns) > 10
    assert [element for turn in turns for _, element in turn] == [message(b"<a/>" * 100_000), NEXT]


def turns_of(stream: ServerStream, data: bytes) -> list[list[bytes]]:
    """What comes of ``data``, all of which arrives at once, turn by turn."""
    turns = [[element for _, element in stream.feed(data)]]
    while stream.busy:
        turns.append([element for _, element in stream.feed(b"")])
    return turns


@pytest.mark.parametrize(
    "stanza",
    [
        b"<message><p:a/></message>",
        b"<message p:a=''/>",
        b"<message><p:a/><b><![CDATA[]]></b></message>",
        b"<iq/><message><a xmlns='%s'/></message>" % (b"u" * 1100),
    ],
)
def test_many_faulty_stanzas_in_one_chunk(stanza: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows a faulty stanza is not looked through again for each, and others have their turns."""
    looked_at = 0
    feed = CompleteMarkup.feed

    def counted(markup: CompleteMarkup, data: bytes) -> bytes:
        nonlocal looked_at
        looked_at += len(data)
        return feed(markup, data)

    monkeypatch.setattr(CompleteMarkup, "feed", counted)
    data = stanza * (96 * KIB // len(stanza))
    stream = fed(b"")
    turns = turns_of(stream, data + NEXT)
    assert stream.failure is None
    assert turns[-1][-1] == NEXT
    assert sum(map(len, turns)) == len(data) // len(stanza) * (1 + stanza.count(b"<iq/>")) + 1
    assert max(map(len, turns)) <= 2 * 64
    assert looked_at < 20 * len(data)


def test_narrower_bounds_leave_time_for_others() -> None:
    """When a stanza turns out to be large, what was read of it is read again: in parts, too."""
    much = b"<a/>" * (ANYTHING_UP_TO // 4 - 10_000)
    deep = 5000
    stream = fed(b"")
    turns = turns_of(stream, b"<message><p:a/>" + much + b"<b>" + b"<a>" * deep)
    before = len(turns)
    turns += turns_of(stream, b"<a/>" * 10_000)
    assert len(turns) - before > 64
    turns += turns_of(stream, b"</a>" * deep + b"</b><c/></message>" + NEXT)
    kept = int(LARGE.depth) - 2
    stanza = b"<message>" + much + b"<b>" + b"<a>" * kept + b"</a>" * kept + b"</b><c/></message>"
    assert [element for turn in turns for element in turn] == [stanza, NEXT]
    assert [set(fault.reasons) for fault in stream.take_faults()] == [{"namespace", "depth"}]


def test_what_comes_while_a_stanza_is_read_again_waits() -> None:
    stream = fed(b"")
    elements = stream.feed(b"<message><p:a/></message>" * 2000)
    assert stream.busy
    elements += stream.feed(NEXT)
    while stream.busy:
        elements += stream.feed(b"")
    assert [element for _, element in elements] == [b"<message></message>"] * 2000 + [NEXT]
    assert stream.at_border


def test_a_stream_that_is_over_wants_nothing_more() -> None:
    stream = fed(b"")
    stream.feed(b"<message><p:a/></message>" * 2000)
    assert stream.unusual
    stream.drop_parser()
    stream.take_faults()
    assert not stream.busy
    assert not stream.unusual


# -- against an independent judgement ------------------------------------------------------------------

_PIECES = st.sampled_from([
    b"<a>", b"</a>", b"<a/>", b"<p:a>", b"</p:a>", b"<q:a/>", b"<a xmlns:p='u'>", b"<p:a xmlns:p='u '/>",
    b"<a xmlns='urn: '>", b"<a p:b='' xmlns:p='&#10;'/>", b"<a p:b='' q:b=''/>", b"<b xmlns:q='u'>", b"</b>",
    b"<a xmlns:p='' b=''/>", b"<a xmlns:xml='u'>", b"<stream:a/>", b"<stream:a:b>", b"</stream:a:b>", b"text",
    b"<![CDATA[<p:a>]]>", b"&amp;", b"<a b='<'/>", b"<a b='>'>", b"<a xmlns='%s'>" % (b"u" * 300),
    b"<a xmlns='http://www.w3.org/2000/xmlns/'>", b"<x:1/>", b" ",
])  # fmt: skip


@given(
    st.lists(_PIECES, max_size=9).map(b"".join),
    st.sampled_from([b"message", b"presence"]),
    st.sampled_from([b"", b" xmlns:p='v'", b" p:a=''", b" xmlns:q='' from='f'"]),
    st.integers(1, 400),
)
@example(b"<p:a><a></p:a></a>", b"message", b"", 400)
def test_any_content_has_the_independent_outcome(content: bytes, name: bytes, tag: bytes, size: int) -> None:
    stanza = b"<%s%s>%s</%s>" % (name, tag, content, name)
    expected = repaired(HEADER, stanza)
    for pieces in (size, 1 << 30):
        stream = fed(stanza, pieces)
        if expected is None:
            assert stream.failure is not None
            continue
        assert stream.failure is None, stream.failure
        result, *following = stream.elements
        assert result.partition(b">")[2] == expected.partition(b">")[2]
        assert following == [NEXT]
        assert bool(stream.faults) is (result != stanza)


_SMALL_BOUNDS = {
    cutter: {"ANYTHING_UP_TO": 260, "SMALL": Bounds(6, 1e9), "LARGE": Bounds(4, 9)},
    repair: {
        "ANYTHING_UP_TO": 260,
        "SMALL": Bounds(6, 1e9),
        "LARGE": Bounds(4, 9),
        "TAG_LIMIT": 150,
    },
    server: {"TAG_LIMIT": 150, "_REPAIRED_AT_A_TIME": 64, "_STANZAS_AT_A_TIME": 2},
}
_MORE_PIECES = st.sampled_from([
    b"<a c='%s'/>" % (b"y" * 160), b"<![CDATA[ <%s> ]]>" % (b"z" * 160), b"t" * 150, b"<n1/>", b"<n2 k=''/>",
    b"<n3/>", b"<n4 j=''/>", b"<n5/>", b"<a><a><a><a><b/></a></a></a></a>",
    b"<p:x/>", b"<b><a><a><a><a><a><a>t</a></a><p:a/></a></a></a></a></b>",
])  # fmt: skip


@given(
    st.lists(st.lists(_MORE_PIECES, max_size=8).map(b"".join), min_size=1, max_size=4),
    st.sampled_from([b"", b" p:a=''", b" type='get'", b" type='result'", b" z='%s'" % (b"y" * 170)]),
    st.integers(1, 200),
)
def test_small_bounds_hold_however_the_bytes_come(contents: list[bytes], tag: bytes, size: int) -> None:
    """The bounds are small here, so that short stanzas meet all of them."""
    stanzas = b"".join(b"<iq%s>%s</iq>" % (tag, content) for content in contents) + NEXT
    with ExitStack() as changed:
        for module, bounds in _SMALL_BOUNDS.items():
            changed.enter_context(patch.multiple(module, **bounds))
        outcomes = []
        for pieces in (1 << 30, size, 1):
            stream = ServerStream(700)
            events = stream.feed(HEADER)
            for start in range(0, len(stanzas), pieces):
                events += stream.feed(stanzas[start : start + pieces])
                while stream.busy:
                    events += stream.feed(b"")
            assert stream.failure is None, stream.failure
            assert stream.at_border
            outcomes.append([element for _, element in events])
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert len(outcomes[0]) == len(contents) + 2
    assert outcomes[0][-1] == NEXT
    for element in outcomes[0][1:]:
        assert is_one_element(tree(element, HEADER))
