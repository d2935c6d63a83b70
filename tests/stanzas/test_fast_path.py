"""Each stanza recognised without a parser is accepted by the parser too, with the same result.

The tests of what is recognised run with both recognisers: the expression, and the functions in C.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.outcomes import of_message, of_stream
from wsgw._native.choice import core
from wsgw.errors import SessionError
from wsgw.stanzas.client import ClientStanzas
from wsgw.stanzas.fast_path import (
    NATIVE_BOUNDS,
    SHALLOW,
    SHALLOW_ATTRIBUTES,
    SHALLOW_DEPTH,
    Bounds,
    CommonStanzas,
    NativeStanzas,
    ShallowStanzas,
)
from wsgw.stanzas.parser import STREAM, expanded_name

MESSAGES = b"<messages>"
HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
COMPONENT = HEADER.replace(b"jabber:client", b"jabber:component:accept")

#: A recogniser for a stream with this root.
Recogniser = Callable[[bytes], CommonStanzas]

NATIVE = core()
needs_native = pytest.mark.skipif(NATIVE is None, reason="the functions in C are not built, or turned off")


def natively(root: bytes) -> CommonStanzas:
    assert NATIVE is not None
    return NativeStanzas(NATIVE, root)


@pytest.fixture(params=[ShallowStanzas, pytest.param(natively, marks=needs_native)])
def recogniser(request: pytest.FixtureRequest) -> Recogniser:
    """Each recogniser."""
    chosen: Recogniser = request.param
    return chosen


RECOGNISED = {
    "message": b"<message xmlns='jabber:client' to='a@b/c' type='chat' id='1'><body>hello</body></message>",
    "double quotes": b'<message to="a@b" xmlns="jabber:client"><body>hello</body></message>',
    "spaces before the end": b"<iq xmlns='jabber:client' type='get'><ping xmlns='urn:xmpp:ping' /></iq>",
    "empty": b"<presence xmlns='jabber:client'/>",
    "empty, with a space": b'<presence xmlns="jabber:client" />',
    "empty, with an end tag": b"<presence xmlns='jabber:client'></presence>",
    "language": b"<message xmlns='jabber:client' xml:lang='en'><body xml:lang='de'>hallo</body></message>",
    "the five entities": b"<message xmlns='jabber:client'><body>&apos;&lt;b&gt; &amp;&quot;</body></message>",
    "line breaks": b"<message xmlns='jabber:client'><body>one\r\n\ttwo</body></message>",
    "other scripts": "<message xmlns='jabber:client' to='ж@世'><body>世界，😀</body></message>".encode(),
    "several children": b"<message xmlns='jabber:client'><body>1</body><active xmlns='http://jabber.org/protocol/"
    b"chatstates'/><origin-id xmlns='urn:xmpp:sid:0' id='1'/></message>",
    "capabilities": b"<presence xmlns='jabber:client'><show>away</show><c xmlns='http://jabber.org/protocol/caps'"
    b" hash='sha-1' node='https://example.org/?a=b' ver='abc='/></presence>",
    "an archived message": b"<message xmlns='jabber:client' to='a@b/c'><result xmlns='urn:xmpp:mam:2' id='1'>"
    b"<forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2010-07-10T23:08:25Z'/>"
    b"<message xmlns='jabber:client' from='d@e'><body>hello</body></message></forwarded></result></message>",
    "a roster": b"<iq xmlns='jabber:client' type='result' id='1'><query xmlns='jabber:iq:roster' ver='1'>"
    b"<item jid='d@e' subscription='both'><group>Friends</group></item><item jid='f@g'/></query></iq>",
    "a namespace with blanks": b"<iq xmlns='jabber:client' type='get'><query xmlns=' urn:x y '/></iq>",
    "greater than in text": b"<message xmlns='jabber:client'><body>a > b, ]] >, ]>, &gt;></body></message>",
    "decimal references": b"<iq xmlns='jabber:client'><x>&#9;&#10;&#13;&#49999;&#128512;</x></iq>",
    "a reference in a value": b"<iq xmlns='jabber:client' id='a&amp;b&#10;c'><x uri='http://x/?a=1&amp;b=2'/></iq>",
    "capitals in a name": b"<iq xmlns='jabber:client'><key preKeyId='1' rel-port='2' a_b.c='3'/></iq>",
    "indented": b"<iq xmlns='jabber:client' type='get'><query xmlns='urn:x'>\n  <a/>\n  <b/>\n</query></iq>",
}
#: Elements of stream management (XEP-0198), by their local names.
ACKS = {
    b"<r xmlns='urn:xmpp:sm:3'/>": "r",
    b'<r xmlns="urn:xmpp:sm:3" />': "r",
    b"<a xmlns='urn:xmpp:sm:3' h='12'/>": "a",
    b"<a h='12' xmlns='urn:xmpp:sm:3'/>": "a",
}
NOT_RECOGNISED = {
    "another namespace": b"<message xmlns='jabber:server'/>",
    "a namespace that is not its own": b"""<message id="x xmlns='jabber:client'"/>""",
    "the same, beside another": b"""<message id=" xmlns=" xmlns='urn:x'/>""",
    "another element": b"<enable xmlns='urn:xmpp:sm:3'/>",
    "an acknowledgement with a text": b"<a xmlns='urn:xmpp:sm:3'></a>",
    "an acknowledgement of another version": b"<a xmlns='urn:xmpp:sm:2' h='1'/>",
    "an acknowledgement without its namespace": b"<a h='1'/>",
    "an acknowledgement in a stanza's namespace": b"<r xmlns='jabber:client'/>",
    "a stanza in that of acknowledgements": b"<iq xmlns='urn:xmpp:sm:3'/>",
    "a reference in a namespace": b"<iq xmlns='jabber:client'><a xmlns='&#104;ttp://www.w3.org/2000/xmlns/'/></iq>",
    "a hexadecimal reference": b"<message xmlns='jabber:client'><body>&#x20ac;</body></message>",
    "a reference to no character": b"<message xmlns='jabber:client'><body>&#11;</body></message>",
    "a reference to half a character": b"<message xmlns='jabber:client'><body>&#55357;</body></message>",
    "a reference with a leading zero": b"<message xmlns='jabber:client'><body>&#010;</body></message>",
    "a reference without its end": b"<message xmlns='jabber:client'><body>&#10</body></message>",
    "a reference above all characters": b"<message xmlns='jabber:client'><body>&#1114112;</body></message>",
    "a prefix": b"<message xmlns='jabber:client'><x:y xmlns:x='urn:x'/></message>",
    "a prefix of an attribute": b"<message xmlns='jabber:client' a:b='c'/>",
    "seventeen levels": b"<iq xmlns='jabber:client'>%s<b/>%s</iq>" % (b"<a>" * 15, b"</a>" * 15),
    "crossed ends": b"<iq xmlns='jabber:client'><a><b></a></b></iq>",
    "an end too much": b"<iq xmlns='jabber:client'><a><b/></a></a></iq>",
    "an attribute twice": b"<message xmlns='jabber:client' to='a' to='b'/>",
    "a namespace twice": b"<message xmlns='jabber:client' xmlns='jabber:client'/>",
    "an attribute of a child twice": b"<iq xmlns='jabber:client'><a b='1' c='2' b='3'/></iq>",
    "no space": b"<message xmlns='jabber:client'to='a'/>",
    "no end": b"<message xmlns='jabber:client'><body>hello</body>",
    "another end": b"<message xmlns='jabber:client'><body>hello</body></iq>",
    "another end of a child": b"<message xmlns='jabber:client'><body>hello</bodyy></message>",
    "an undefined entity": b"<message xmlns='jabber:client'><body>&nbsp;</body></message>",
    "the end of CDATA": b"<message xmlns='jabber:client'><body>]]></body></message>",
    "a namespace XML reserves": b"<iq xmlns='jabber:client'><a xmlns='http://www.w3.org/2000/xmlns/'/></iq>",
    "a long namespace": b"<iq xmlns='jabber:client'><a xmlns='%s'/></iq>" % (b"x" * 1025),
    "control characters": b"<message xmlns='jabber:client'><body>\x01</body></message>",
    "no character": b"<message xmlns='jabber:client'><body>\xef\xbf\xbf</body></message>",
    "not UTF-8": b"<message xmlns='jabber:client'><body>\xff</body></message>",
}


@pytest.mark.parametrize("text", RECOGNISED.values(), ids=RECOGNISED)
def test_a_plain_stanza_is_recognised(recogniser: Recogniser, text: bytes) -> None:
    name = expanded_name("jabber:client", text[1:].split()[0].decode())
    assert recogniser(MESSAGES).name_of(text) == name
    assert _checked(MESSAGES, text, shallow=False) == (name, text)
    inherited = text.replace(b" xmlns='jabber:client'", b"").replace(b' xmlns="jabber:client"', b"")
    for stanza in (text, inherited):
        assert recogniser(HEADER).name_of(stanza) == name
        assert _checked(HEADER, stanza, shallow=False) == (name, stanza)
    assert recogniser(COMPONENT).name_of(text) == name
    assert recogniser(MESSAGES).name_of(inherited) is recogniser(COMPONENT).name_of(inherited) is None


@pytest.mark.parametrize("root", [MESSAGES, HEADER, COMPONENT])
@pytest.mark.parametrize("text", NOT_RECOGNISED.values(), ids=NOT_RECOGNISED)
def test_any_other_stanza_is_not_recognised(recogniser: Recogniser, root: bytes, text: bytes) -> None:
    events: list[tuple[str, bytes]] = []
    assert recogniser(root).name_of(text) is None
    assert recogniser(root).take(text, events) == text
    assert not events
    assert _checked(root, text) == _checked(root, text, shallow=False)


@pytest.mark.parametrize("more", [b" ", RECOGNISED["message"], b"<", b"x"])
def test_a_client_message_with_bytes_after_its_stanza_is_not_recognised(
    recogniser: Recogniser, more: bytes
) -> None:
    assert recogniser(MESSAGES).name_of(RECOGNISED["message"] + more) is None


def test_each_of_many_stanzas_in_one_chunk_is_recognised(recogniser: Recogniser) -> None:
    stanzas = [*RECOGNISED.values(), *ACKS] * 20
    deep = NOT_RECOGNISED["seventeen levels"]
    events: list[tuple[str, bytes]] = []
    rest = recogniser(HEADER).take(b"".join(stanzas) + deep + stanzas[0], events)
    assert [stanza for _, stanza in events] == stanzas
    assert rest == deep + stanzas[0]


@pytest.mark.parametrize(
    ("max_depth", "max_attributes"), [(SHALLOW_DEPTH - 1, 100), (100, SHALLOW_ATTRIBUTES - 1)]
)
def test_limits_below_those_of_the_fast_path_hold(max_depth: int, max_attributes: int) -> None:
    attributes = b"".join(b" %c='1'" % letter for letter in b"abcdef"[:SHALLOW_ATTRIBUTES])
    levels = SHALLOW_DEPTH - 2
    stanza = b"<iq xmlns='jabber:client'>%s<a%s/>%s</iq>" % (b"<a>" * levels, attributes, b"</a>" * levels)
    assert ShallowStanzas(MESSAGES).name_of(stanza)
    with pytest.raises(SessionError, match="policy-violation"):
        ClientStanzas(MESSAGES, max_depth, max_attributes).check(stanza)


@pytest.mark.parametrize("root", [MESSAGES, HEADER, COMPONENT])
@pytest.mark.parametrize("text", ACKS)
def test_elements_of_stream_management_are_recognised(
    recogniser: Recogniser, root: bytes, text: bytes
) -> None:
    name = expanded_name("urn:xmpp:sm:3", ACKS[text])
    assert recogniser(root).name_of(text) == name
    assert _checked(root, text, shallow=False) == (name, text)


def test_white_space_between_stanzas_is_dropped(recogniser: Recogniser) -> None:
    stanza = RECOGNISED["message"]
    events: list[tuple[str, bytes]] = []
    rest = recogniser(HEADER).take(b"\r\n" + stanza + b" \n\t" + stanza + b"\n\n<iq", events)
    assert [bytes_ for _, bytes_ in events] == [stanza, stanza]
    assert rest == b"<iq"
    assert recogniser(HEADER).take(b" \n", events) == b""
    assert recogniser(HEADER).take(b"", events) == b""


def _deep(levels: int) -> bytes:
    return b"<iq xmlns='jabber:client'>%s%s</iq>" % (b"<a>" * (levels - 1), b"</a>" * (levels - 1))


def _long(size: int) -> bytes:
    stanza = b"<message xmlns='jabber:client'><body>%s</body></message>"
    return stanza % (b"x" * (size - len(stanza % b"")))


def _crowded(attributes: int) -> bytes:
    return b"<iq xmlns='jabber:client'><a%s/></iq>" % b"".join(
        b" %c='1'" % (97 + n) for n in range(attributes)
    )


@pytest.mark.parametrize(
    ("recognise", "bounds"),
    [(ShallowStanzas, SHALLOW), pytest.param(natively, NATIVE_BOUNDS, marks=needs_native)],
)
def test_each_bound_is_exact(recognise: Recogniser, bounds: Bounds) -> None:
    for make, bound in ((_long, bounds.size), (_deep, bounds.levels), (_crowded, bounds.attributes)):
        within, above = make(bound), make(bound + 1)
        for root in (MESSAGES, HEADER):
            events: list[tuple[str, bytes]] = []
            stanzas = recognise(root)
            assert stanzas.name_of(within)
            assert stanzas.name_of(above) is None
            assert stanzas.take(within + above, events) == above
            assert [element for _, element in events] == [within]
        assert _checked(MESSAGES, above) == _checked(MESSAGES, above, shallow=False)


# -- for any bytes, the outcome is the same with and without the fast path -----------------------------

_ATTRIBUTES = st.sampled_from(
    [
        *(b" xmlns='jabber:client'", b' xmlns="jabber:client"', b" xmlns='urn:x'", b" xmlns=''"),
        *(b" xmlns='urn:x y'", b" xmlns='http://www.w3.org/2000/xmlns/'", b" xmlns:x='urn:x'", b" x:y='1'"),
        *(b" to='a@b/c'", b' to="a@b"', b" id='>'", b" id=' xmlns='", b""" id="x xmlns='jabber:client'\""""),
        *(b" xml:lang='en'", b" xml:lang=''", b" a='&amp;'", b" b='&'", b" c='<'", b" d='\n'", b" d='\x7f'"),
        *(b" A-b='&#10;'", b" xmlns='&#104;ttp://www.w3.org/2000/xmlns/'", b" x.y_1='&lt;'"),
        *(b" e='\"'", b' f="\'"', b"g='1'", b" h=1", b" i", b"  j='1'", b" ", b"\n", " k='ж'".encode()),
        *(b" l='\xff'", b" m='\xef\xbf\xbe'", b" n='" + b"x" * 1100 + b"'", b" xmlns='" + b"x" * 999 + b"'"),
    ]
)
_TEXTS = st.sampled_from(
    [
        *(
            b"",
            b"text",
            b" ",
            b"it&apos;s",
            b"&amp;",
            b"&#1;",
            b"&#x20ac;",
            b"&#10;",
            b"&#0;",
            b"&#128512;",
            b"&#65535;",
            b"&nbsp;",
            b"&",
            b">",
            b"]]>",
            b"'\"",
        ),
        *(
            b"\x01",
            b"\x7f",
            b"\r\n\t",
            "世界，😀".encode(),
            b"\xef\xbf\xbf",
            b"\xed\xa0\x80",
            b"\xc3",
            b"x" * 1500,
        ),
        *(b"<a/>", b"<", b"<![CDATA[x]]>", b"<!-- -->", b"<?x?>"),
    ]
)
_NAMES = st.sampled_from([b"body", b"x", b"origin-id", b"vCard", b"x:y", b"1", b"message", b""])


def _element(names: st.SearchStrategy[bytes], content: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    tag = st.tuples(names, st.lists(_ATTRIBUTES, max_size=7).map(b"".join))
    whole = st.tuples(tag, content).map(lambda it: b"<%s%s>%s</%s>" % (*it[0], it[1], it[0][0]))
    empty = tag.map(lambda it: b"<%s%s/>" % it)
    broken = st.tuples(tag, content, names).map(lambda it: b"<%s%s>%s</%s>" % (*it[0], *it[1:]))
    return st.one_of(whole, whole, empty, broken)


_CONTENT = st.recursive(
    _TEXTS,
    lambda inner: st.lists(st.one_of(_TEXTS, _element(_NAMES, inner)), max_size=4).map(b"".join),
    max_leaves=12,
)
_STANZAS = st.one_of(
    _element(st.sampled_from([b"message", b"presence", b"iq", b"a"]), _CONTENT),
    st.sampled_from([*RECOGNISED.values(), *NOT_RECOGNISED.values()]),
)


@given(_STANZAS, st.sampled_from([MESSAGES, HEADER, COMPONENT]))
def test_a_clients_message_has_one_outcome(text: bytes, root: bytes) -> None:
    assert _checked(root, text) == _checked(root, text, shallow=False)


@given(
    st.lists(_STANZAS, max_size=4).map(b"".join),
    st.lists(st.integers(0, 900), max_size=3),
    st.sampled_from([HEADER, COMPONENT]),
)
def test_a_servers_stream_has_one_outcome(data: bytes, places: list[int], header: bytes) -> None:
    assert _cut(header + data, places) == _cut(header + data, places, shallow=False)


def test_a_stanza_in_a_value_of_an_incomplete_tag_is_not_recognised() -> None:
    begun = HEADER + b"<message id='"
    (header,), failed = _cut(begun + b"<iq/>'/>", [len(begun)])
    assert header[0] == STREAM
    assert failed


def _checked(root: bytes, text: bytes, *, shallow: bool = True) -> tuple[str, bytes] | None:
    with pytest.MonkeyPatch.context() as patch:
        if not shallow:
            for recognise in (ShallowStanzas, NativeStanzas):
                patch.setattr(recognise, "name_of", lambda *_: None)
        return of_message(root, text)


def _cut(data: bytes, places: list[int], *, shallow: bool = True) -> tuple[list[tuple[str, bytes]], bool]:
    with pytest.MonkeyPatch.context() as patch:
        if not shallow:
            for recognise in (ShallowStanzas, NativeStanzas):
                patch.setattr(recognise, "take", lambda _, data, _events: data)
        return of_stream(data, places)


# -- a mismatch is found fast --------------------------------------------------------------------------

_BEGUN = b"<message xmlns='jabber:client'>"


@pytest.mark.perf
@pytest.mark.parametrize(
    "unit",
    [
        *(b"<a/>", b"<a>", b"<a b='c'/>", b"<a b='", b"'", b" a='b'", b"x", b"&amp;", b"<a>x&amp;</a>", b" "),
        *(b" xmlns=", b"<a><a>", b"<a><b/></a>", b"<a><b/><c></c></a>x"),
    ],
)
@pytest.mark.parametrize("begun", [_BEGUN, _BEGUN[:-1], _BEGUN + b"<a", _BEGUN + b"<a>"])
def test_a_mismatch_is_found_in_linear_time(begun: bytes, unit: bytes) -> None:
    text = begun + unit * ((2000 - len(begun)) // len(unit))

    def seconds() -> float:
        start = time.process_time()
        assert ShallowStanzas(MESSAGES).name_of(text) is None
        return time.process_time() - start

    assert min(seconds() for _ in range(10)) < 0.01, "the least time has no garbage collection in it"


def test_a_long_stanza_does_not_slow_the_others_in_its_chunk() -> None:
    short = RECOGNISED["message"]
    long = short.replace(b"hello", b"<i/>" * 600)
    events: list[tuple[str, bytes]] = []
    assert ShallowStanzas(HEADER).take(short * 30 + long + short, events) == long + short
    assert len(events) == 30
    assert ShallowStanzas(MESSAGES).name_of(long) is None
