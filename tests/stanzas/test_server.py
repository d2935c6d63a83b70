"""Cutting a server's bytes into stanzas: its own bytes, at the earliest moment, within bounds."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.outcomes import of_message, tokens_with
from wsgw.stanzas import cutter
from wsgw.stanzas.cutter import STREAM_END, StanzaCutter
from wsgw.stanzas.parser import STREAM, STREAMS, expanded_name
from wsgw.stanzas.server import ServerStream

Events = list[tuple[str, bytes]]

KIB = 1024
MESSAGE = expanded_name("jabber:client", "message")
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"

# -- two dialogues, as the servers write them ------------------------------------------------------

#: (name of the event these bytes end, or None where they are no event, bytes)
Dialogue = list[tuple[str | None, bytes]]

XML = b"<?xml version='1.0'?>"
EJABBERD_HEADER = (
    b"<stream:stream id='17436187931018498321' version='1.0' xml:lang='en' "
    b"xmlns:stream='http://etherx.jabber.org/streams' from='localhost' xmlns='jabber:client'>"
)
EJABBERD: Dialogue = [
    (None, XML),
    (STREAM, EJABBERD_HEADER),
    (
        expanded_name(STREAMS, "features"),
        b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
        b"<mechanism>SCRAM-SHA-1</mechanism></mechanisms>"
        b"<register xmlns='http://jabber.org/features/iq-register'/></stream:features>",
    ),
    (
        expanded_name(SASL, "challenge"),
        b"<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj1mOGM1aQ==</challenge>",
    ),
    (
        expanded_name(SASL, "success"),
        b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>dj1lc2lOSQ==</success>",
    ),
    (None, XML),
    (STREAM, EJABBERD_HEADER.replace(b"17436187931018498321", b"4711")),
    (
        expanded_name(STREAMS, "features"),
        b"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
        b"<session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>"
        b"<sm xmlns='urn:xmpp:sm:3'/></stream:features>",
    ),
    (
        expanded_name("jabber:client", "iq"),
        b"<iq xml:lang='en' to='alice@localhost/1' from='alice@localhost' type='result' id='b'>"
        b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@localhost/1</jid></bind></iq>",
    ),
    (
        expanded_name("urn:xmpp:sm:3", "enabled"),
        b"<enabled id='g2gCbQ==' xmlns='urn:xmpp:sm:3' max='300' resume='true'/>",
    ),
    (
        expanded_name("jabber:client", "presence"),
        b"<presence to='alice@localhost/1' from='alice@localhost/1'/>",
    ),
    (None, b" "),
    (expanded_name("urn:xmpp:sm:3", "r"), b"<r xmlns='urn:xmpp:sm:3'/>"),
    (None, b"\n"),
    (MESSAGE, "<message from='bob@localhost'><body>€ &gt; 𝄞 &lt;b/&gt; a > b</body></message>".encode()),
    (
        expanded_name(STREAMS, "error"),
        b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
        b"<text xml:lang='en' xmlns='urn:ietf:params:xml:ns:xmpp-streams'>Replaced</text></stream:error>",
    ),
    (STREAM_END, b"</stream:stream>"),
]

PROSODY_HEADER = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
    b"xml:lang='en' version='1.0' from='localhost' id='0c2b9a4e-7d9e'>"
)
PROSODY: Dialogue = [
    (None, b'<?xml version="1.0"?>'),
    (STREAM, PROSODY_HEADER),
    (
        expanded_name(STREAMS, "features"),
        b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1"
        b"</mechanism></mechanisms><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
    ),
    (expanded_name(SASL, "success"), b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
    # No declaration this time: XML lets a server leave it out.
    (STREAM, PROSODY_HEADER),
    (
        expanded_name(STREAMS, "features"),
        b"<stream:features><sm xmlns='urn:xmpp:sm:3'><optional/></sm></stream:features>",
    ),
    (
        MESSAGE,
        b"<message type='chat' from=\"o'brien@localhost/>\"><body><![CDATA[<a href='x'>]]> </body><x"
        b"\n xmlns = 'jabber:x:oob' ><url>http://a/?b=1&amp;c='</url></x ></message>",
    ),
    (None, b" \r\n\t"),
    (MESSAGE, b"<message><body>&#x00000000000000000000000020ac;]] > &quot;\n'</body></message>"),
    (expanded_name("jabber:client", "iq"), b"<iq type='result' id='1'></iq>"),
    (expanded_name("urn:xmpp:sm:3", "a"), b"<a xmlns='urn:xmpp:sm:3' h='5'/>"),
    (STREAM_END, b"</stream:stream>"),
    (None, b"\n"),
]

DIALOGUES = pytest.mark.parametrize("dialogue", [EJABBERD, PROSODY], ids=["ejabberd", "prosody"])


def octets(dialogue: Dialogue) -> bytes:
    return b"".join(part for _, part in dialogue)


def events_by(dialogue: Dialogue, length: int) -> Events:
    """What the first ``length`` bytes complete."""
    events: Events = []
    end = 0
    for name, part in dialogue:
        end += len(part)
        if name is not None and end <= length:
            events.append((name, b"" if name == STREAM_END else part))
    return events


@DIALOGUES
def test_a_dialogue_in_one_chunk(dialogue: Dialogue) -> None:
    stream = ServerStream()
    assert stream.feed(octets(dialogue)) == events_by(dialogue, 1 << 20)
    assert stream.failure is None


@DIALOGUES
def test_every_split_point_and_every_stanza_at_its_last_byte(dialogue: Dialogue) -> None:
    data = octets(dialogue)
    everything = events_by(dialogue, len(data))
    for place in range(len(data) + 1):
        stream = ServerStream()
        early = stream.feed(data[:place])
        assert early == events_by(dialogue, place), data[:place]
        assert early + stream.feed(data[place:]) == everything, data[:place]
        assert stream.failure is None


@DIALOGUES
def test_byte_by_byte(dialogue: Dialogue) -> None:
    data = octets(dialogue)
    stream = ServerStream()
    events: Events = []
    for place in range(len(data)):
        events += stream.feed(data[place : place + 1])
        assert events == events_by(dialogue, place + 1)
    assert stream.failure is None


@given(st.sampled_from([EJABBERD, PROSODY]), st.lists(st.integers(0, 3000), max_size=12))
def test_any_chunking_gives_the_same_events(dialogue: Dialogue, places: list[int]) -> None:
    data = octets(dialogue)
    stream = ServerStream()
    events: Events = []
    for chunk in cut(data, places):
        events += stream.feed(chunk)
    assert (events, stream.failure) == (events_by(dialogue, len(data)), None)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(borders)]


HEADERS = {
    "any prefix (4.8.1)": b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>",
    "no prefix": b"<stream xmlns='http://etherx.jabber.org/streams'>",
    "'>' in an attribute": EJABBERD_HEADER.replace(b"localhost", b"a>b"),
    "line breaks": EJABBERD_HEADER.replace(b" ", b"\r\n "),
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_headers(header: bytes) -> None:
    for chunks in ([b" \n" + XML + header], cut(XML + b"\n" + header, list(range(len(header) + 22)))):
        stream = ServerStream()
        assert [event for chunk in chunks for event in stream.feed(chunk)] == [(STREAM, header)]
        assert stream.at_border


def test_at_border_tells_whether_something_is_under_way() -> None:
    stream = ServerStream()
    border = [(EJABBERD_HEADER[:-1], False), (b">", True), (b" ", True), (b"<", False), (b"a>", False)]
    border += [(b"text", False), (b"</a>", True), (b"<a/>", True), (b"</stream:stream>", False)]
    for chunk, expected in border:
        stream.feed(chunk)
        assert stream.at_border is expected, chunk


# -- single stanzas --------------------------------------------------------------------------------

#: Each passes byte for byte; the server's header binds ``stream`` and ``jabber:client``.
STANZAS = {
    "empty": b"<message/>",
    "start and end tag": b"<message></message>",
    "spaces in tags": b"<message\n\t to = 'a'\r\n></message \n>",
    "both quotes": b"<message a='\"' b=\"'\"/>",
    "'>' and '/>' in attribute values": b"<message a='>' b=\"/>\"><x c='/&gt;>'/></message>",
    "'>' in text": b"<message><body>a > b >> c ]] ></body></message>",
    "CDATA that looks like tags": b"<message><body><![CDATA[</message><a>'\"<!-- ]] ]>]]></body></message>",
    "CDATA beside CDATA": b"<message><![CDATA[]]><![CDATA[<]]>]]&gt;<![CDATA[]]]]><![CDATA[>]]></message>",
    "quotes in text": b"<message><body>it's \"fine\"</body>don't</message>",
    "long character references": b"<message><body>&#x%s41;&#0000000000000000000065;</body></message>"
    % (b"0" * 300),
    "the five entities": b"<message a='&lt;&amp;&gt;&quot;&apos;'>&lt;&amp;&gt;&quot;&apos;</message>",
    "characters of two, three and four bytes": "<message ä='€𝄞'><名>ß𝄞€ü</名></message>".encode(),
    "an empty element last": b"<message><a/></message>",
    "the same name inside": b"<message><message/><message></message></message>",
    "another default namespace inside": b"<message><x xmlns='u'><x xmlns=''/></x></message>",
    "prefixes": b"<message><p:x xmlns:p='u' p:y='z'/></message>",
    "carriage returns": b"<message>\r\n\r<a b='\r\n'/>\r</message>",
    "white space only": b"<message> \n </message>",
}


@pytest.mark.parametrize("stanza", STANZAS.values(), ids=STANZAS)
@pytest.mark.parametrize("before", [b"", b"<presence/>", b" "])
def test_a_stanza_passes_byte_for_byte(stanza: bytes, before: bytes) -> None:
    data = before + stanza
    earlier = 1 if before.strip() else 0
    for place in range(len(data)):
        for rest in (b"", b"<iq/>", b"</stream:stream>", b"<!"):
            stream = ServerStream()
            stream.feed(EJABBERD_HEADER)
            events = stream.feed(data[:place])
            assert len(events) == (earlier if place >= len(before) else 0)
            events += stream.feed(data[place:] + rest)
            assert stream.failure is None
            assert events[earlier] == (MESSAGE, stanza)
            assert len(events) == earlier + 1 + (len(rest) > 2)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
    st.lists(st.integers(0, 999), max_size=9),
)
def test_any_text_passes_byte_for_byte(text: str, places: list[int]) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("]]>", "]]&gt;")
    if "\ufffe" in text or "\uffff" in text:
        return
    stanza = f"<message><body>{escaped}</body></message>".encode()
    stream = ServerStream()
    stream.feed(EJABBERD_HEADER)
    events = [event for chunk in cut(stanza * 2, places) for event in stream.feed(chunk)]
    assert events == [(MESSAGE, stanza)] * 2


def test_white_space_keepalives_are_dropped_and_not_kept() -> None:
    """RFC 6120 section 4.6.1; they never become a message (RFC 7395 section 3.8)."""
    stream = ServerStream(limit=100)
    stream.feed(EJABBERD_HEADER)
    for _ in range(1000):
        assert stream.feed(b" \r\n\t") == []
        assert stream.at_border
    assert stream.feed(b" <message/> ") == [(MESSAGE, b"<message/>")]
    assert stream.failure is None


def test_a_stanza_that_has_come_is_not_kept_back_by_what_follows() -> None:
    """A parser may hold back an incomplete token although its rest has come (reparse deferral)."""
    stream = ServerStream()
    stream.feed(EJABBERD_HEADER)
    long = b"<message a='" + b"x" * 20000 + b"'/>"
    for size in (1, 7, 64, 4096):
        for start in range(0, len(long) - size, size):
            assert stream.feed(long[start : start + size]) == []
        rest = (len(long) - size - 1) // size * size + size
        assert stream.feed(long[rest:]) == [(MESSAGE, long)]


TAILS = {
    "an end tag": b"",
    "a tag and a reference": b"<b a='>'>&#1114111;</b>",
    "CDATA": b"<![CDATA[<]]>",
    "nested tags": b"<c><c></c></c>",
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
@pytest.mark.parametrize("size", [1024 * KIB - 30, 1536 * KIB])
def test_more_than_a_megabyte_at_once_is_not_held_back(size: int, tail: bytes) -> None:
    """pyexpat hands it on in pieces; a tag cut in two would wait for what comes after it."""
    for shift in range(0, 48, 5):
        stanza = b"<message><body>" + b"x" * (size - 15 - shift) + tail + b"</body></message>"
        stream = ServerStream()
        stream.feed(EJABBERD_HEADER)
        assert stream.feed(stanza) == [(MESSAGE, stanza)]
        assert of_message(EJABBERD_HEADER, stanza) == (MESSAGE, stanza)


def test_many_tags_in_more_than_a_megabyte_at_once() -> None:
    stanza = b"<message>" + b"<a b='>'>d</a>" * 160_000 + b"</message>"
    stream = ServerStream()
    stream.feed(EJABBERD_HEADER)
    assert stream.feed(stanza) == [(MESSAGE, stanza)]


# -- parsers are shared, and replaced --------------------------------------------------------------


def idle_cutters() -> list[StanzaCutter]:
    return [cutter for cutters in cutter._idle.values() for cutter in cutters]


@pytest.fixture(autouse=True)
def _no_idle_cutters() -> None:
    cutter._idle.clear()


def test_streams_between_stanzas_share_a_parser_and_those_inside_one_do_not() -> None:
    streams = [ServerStream() for _ in range(3)]
    for number, stream in enumerate(streams):
        stream.feed(EJABBERD_HEADER.replace(b" id='", b" id='%d" % number))
    assert len(idle_cutters()) == 3, "each header was read by a parser of its own"
    for stream in streams * 2:
        assert stream.feed(b"<presence/>") == [(expanded_name("jabber:client", "presence"), b"<presence/>")]
    assert len(idle_cutters()) == 3
    for stream in streams:
        assert stream.feed(b"<message><body>") == []
    assert idle_cutters() == []
    for stream in streams:
        assert stream.feed(b"</body></message>") == [(MESSAGE, b"<message><body></body></message>")]
    assert len(idle_cutters()) == 3


def test_streams_whose_headers_bind_differently_share_nothing() -> None:
    one, other = ServerStream(), ServerStream()
    one.feed(b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' xmlns:x='a'>")
    other.feed(b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' xmlns:x='b'>")
    assert len(idle_cutters()) == 2
    assert one.feed(b"<x:y/>") == [(expanded_name("a", "y"), b"<x:y/>")]
    assert other.feed(b"<x:y/>") == [(expanded_name("b", "y"), b"<x:y/>")]


def test_a_cutter_that_failed_is_used_by_nobody() -> None:
    broken, sound = ServerStream(), ServerStream()
    broken.feed(EJABBERD_HEADER)
    sound.feed(EJABBERD_HEADER)
    assert broken.feed(b"<message></presence>") == []
    assert broken.failure is not None
    assert len(idle_cutters()) == 1, "the header's of the other stream"
    assert sound.feed(b"<message/>") == [(MESSAGE, b"<message/>")]


def test_the_idle_cutters_are_bounded() -> None:
    for number in range(200):
        ServerStream().feed(
            b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' xmlns:x='%d'>"
            % number
        )
    assert len(idle_cutters()) == 64
    streams = [ServerStream() for _ in range(20)]
    for stream in streams:
        stream.feed(EJABBERD_HEADER + b"<message>")
    for stream in streams:
        stream.feed(b"</message>")
    assert len(idle_cutters()) == 63 + 8


def test_interned_names_are_bounded_and_the_output_stays_right() -> None:
    stream = ServerStream()
    stream.feed(EJABBERD_HEADER)
    known = []
    for number in range(3000):
        stanza = b"<message><n%d a%d='' xmlns='u%d'/></message>" % (number, number, number)
        assert stream.feed(stanza) == [(MESSAGE, stanza)]
        known.append(max((len(cutter._parser.intern) for cutter in idle_cutters()), default=0))
    assert max(known) < 600
    assert 0 in known, "it was replaced"


def test_a_parser_is_replaced_after_a_while_for_what_expat_does_not_tell() -> None:
    """Two hundred prefixes and two hundred names make forty thousand names in expat, four hundred here."""
    stream = ServerStream()
    stream.feed(EJABBERD_HEADER)
    most = parsed = 0
    for prefix in range(200):
        inside = b"".join(b"<p%d:n%d/>" % (prefix, name) for name in range(200))
        stanza = b"<message xmlns:p%d='u'>%s</message>" % (prefix, inside)
        assert stream.feed(stanza) == [(MESSAGE, stanza)]
        parsed += len(stanza)
        most = max(most, max((cutter._parsed for cutter in idle_cutters()), default=0))
    assert parsed > cutter.MAX_PARSED
    assert 0 < most <= cutter.MAX_PARSED + len(EJABBERD_HEADER)


def test_a_parser_is_not_replaced_inside_a_stanza() -> None:
    stream = ServerStream()
    stream.feed(EJABBERD_HEADER)
    pieces = [
        b"<message>",
        *(b"<n%d/>" % number for number in range(2000)),
        b"<t>" + b"x" * 300 * KIB,
        b"</t>",
    ]
    for piece in pieces:
        assert stream.feed(piece) == []
    assert stream.feed(b"</message>") == [(MESSAGE, b"".join(pieces) + b"</message>")]
    assert idle_cutters() == []
    assert stream.feed(b"<stream:a/>") == [(expanded_name(STREAMS, "a"), b"<stream:a/>")], (
        "the header's bindings hold"
    )
    assert stream.feed(b"</stream:stream>") == [(STREAM_END, b"")]


# -- time ------------------------------------------------------------------------------------------


def seconds(data: bytes, size: int) -> float:
    """The least CPU time of three runs over ``data`` in pieces of ``size`` bytes."""
    best = float("inf")
    for _ in range(3):
        stream = ServerStream()
        begun = time.process_time()
        for start in range(0, len(data), size):
            stream.feed(data[start : start + size])
        best = min(best, time.process_time() - begun)
        assert stream.failure is None
    return best


#: How a long stanza begins, what is repeated in it, how it ends.
LONG = {
    "text": (b"<message><body>", b"x", b"</body></message>"),
    "text with '>' in it": (b"<message><body>", b"> ", b"</body></message>"),
    "an attribute value": (b"<message a='", b"x", b"'/>"),
    "an attribute value with '>' in it": (b"<message a='", b">", b"'/>"),
    "CDATA": (b"<message><![CDATA[", b"<a>", b"]]></message>"),
    "many elements": (b"<message>", b"<a>b</a>", b"</message>"),
    "deep elements": (b"<message>", b"<a>" * 100 + b"</a>" * 100, b"</message>"),
    "many stanzas": (b"", b"<message>b</message>", b""),
    "white space in a tag": (b"<message", b" ", b"/>"),
    "white space between stanzas": (b"", b" ", b"<message/>"),
}


def long_data(kind: str, size: int) -> bytes:
    start, repeated, end = LONG[kind]
    return EJABBERD_HEADER + start + repeated * (size // len(repeated)) + end


@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize(("piece", "size"), [(1, 8 * KIB), (64, 60 * KIB)])
def test_time_is_linear(kind: str, piece: int, size: int) -> None:
    """Eight times as much takes about eight times as long; quadratic would be sixty-four."""
    assert seconds(long_data(kind, 8 * size), piece) < 3 * 8 * seconds(long_data(kind, size), piece)


def test_time_is_linear_in_a_header() -> None:
    def header(size: int) -> bytes:
        return b"<stream:stream a='" + b"x" * size + b"' xmlns:stream='http://etherx.jabber.org/streams'>"

    assert seconds(header(480 * KIB), 64) < 3 * 8 * seconds(header(60 * KIB), 64)


# -- servers that break the rules ------------------------------------------------------------------

NOT_XMPP = {
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not-well-formed"),
    "HTTP and a page": (b"HTTP/1.1 400 Bad Request\r\n\r\n<html></html>", "not-well-formed"),
    "a TLS alert": (b"\x15\x03\x01\x00\x02\x02\x46", "not-well-formed"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", "not-well-formed"),
    "a byte order mark (11.6)": (b"\xef\xbb\xbf" + EJABBERD_HEADER, "not-well-formed"),
    "UTF-16": (EJABBERD_HEADER.decode().encode("utf-16"), "not-well-formed"),
    "text after the declaration": (XML + b"x" + EJABBERD_HEADER, "not-well-formed"),
    "HTML": (b"<html><body>", "invalid-namespace"),
    "a document type": (b"<!DOCTYPE html><html>", "restricted-xml"),
    "a document type after the declaration": (XML + b"<!DOCTYPE stream:stream>", "restricted-xml"),
    "a comment": (b"<!-- x -->", "restricted-xml"),
    "another namespace (4.8.1)": (b"<stream xmlns='jabber:client'>", "invalid-namespace"),
    "another root": (EJABBERD_HEADER.replace(b"<stream:stream", b"<stream:features"), "invalid-namespace"),
    "an end tag": (b"</stream:stream>", "not-well-formed"),
    "an undeclared prefix": (b"<stream:stream>", "not-well-formed"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "condition"), NOT_XMPP.values(), ids=NOT_XMPP)
def test_what_is_no_xmpp_stream(data: bytes, condition: str) -> None:
    for chunks in ([data], cut(data, list(range(len(data))))):
        stream = ServerStream()
        assert [event for chunk in chunks for event in stream.feed(chunk)] == []
        assert stream.failure is not None
        assert stream.failure.condition == condition


BROKEN = {
    "mismatched tags": (b"<a></b>", "not-well-formed"),
    "the stream's end inside a stanza": (b"<a></stream:stream>", "not-well-formed"),
    "an attribute twice": (b"<a b='' b=''/>", "not-well-formed"),
    "'<' in an attribute": (b"<a b='<'/>", "not-well-formed"),
    "'<' and '>' in an attribute": (b"<a b='><'/>", "not-well-formed"),
    "']]>' in text": (b"<a>]]></a>", "not-well-formed"),
    "a bare ampersand": (b"<a>&</a>", "not-well-formed"),
    "an undeclared prefix": (b"<p:a/>", "not-well-formed"),
    "a control character": (b"<a>\x01</a>", "not-well-formed"),
    "bytes that are not UTF-8": (b"<a>\xff</a>", "not-well-formed"),
    "a NUL reference": (b"<a>&#0;</a>", "not-well-formed"),
    "an entity": (b"<a>&nbsp;</a>", "restricted-xml"),
    "a comment between stanzas": (b"<!-- x -->", "restricted-xml"),
    "a comment inside": (b"<a><!-- x --></a>", "restricted-xml"),
    "a comment, begun": (b"<!-", "restricted-xml"),
    "a document type": (b"<!DOCTYPE a>", "restricted-xml"),
    "a processing instruction": (b"<?a b?>", "restricted-xml"),
    "a processing instruction with a quote": (b"<?a don't?>", "restricted-xml"),
    "a processing instruction with '>' in it": (b"<a><?b c='>' d?></a>", "restricted-xml"),
    "a declaration inside a stanza": (b"<a><?xml version='1.0'?></a>", "restricted-xml"),
    "another root after a declaration": (XML + b"<html>", "invalid-namespace"),
}


@pytest.mark.parametrize(("data", "condition"), BROKEN.values(), ids=BROKEN)
def test_a_broken_stream_fails_after_delivering_what_came_before(data: bytes, condition: str) -> None:
    before = EJABBERD_HEADER + b"<message/>"
    expected = [(STREAM, EJABBERD_HEADER), (MESSAGE, b"<message/>")]
    everything = before + data + b"<message/>"
    for chunks in ([before + data], [before, data], cut(before + data, list(range(500))), [everything]):
        stream = ServerStream()
        assert [event for chunk in chunks for event in stream.feed(chunk)] == expected
        assert stream.failure is not None
        assert stream.failure.condition == condition
        assert stream.feed(b"<message/>") == [], "nothing more is read"


LIMIT = 500
SHORT = b"<message id='next'/>"
_FROM = b"<message from='a@b'"
OVER = {
    "text": _FROM + b"><body>" + b"x" * LIMIT + b"</body></message>",
    "its tag": _FROM + b" a='" + b"x" * LIMIT + b"'/>",
    "its tag, with content": _FROM + b" a='" + b"x" * LIMIT + b"'><a/></message>",
    "another tag": _FROM + b"><a b='>" + b"x" * LIMIT + b"/>'/></message>",
    "elements": _FROM + b">" + b"<a/>" * LIMIT + b"</message>",
    "depth": _FROM + b">" + b"<message>" * LIMIT + b"</message>" * LIMIT + b"</message>",
    "CDATA": _FROM + b"><![CDATA[" + b"<a>]]</message>]]" * LIMIT + b"]]></message>",
    "text after a fault": _FROM + b"><p:a/>" + b"x" * LIMIT + b"<![CDATA[</message>]]></message>",
    "elements in a fault": _FROM + b"><p:a>" + b"<b/>" * LIMIT + b"</p:a ></message>",
    "one byte": _FROM + b">" + b"x" * (LIMIT - 29) + b"</message>",
}


def events_of(stream: ServerStream, chunks: list[bytes]) -> Events:
    """What the chunks complete; a stanza under repair is given the turns it takes."""
    events: Events = []
    for chunk in chunks:
        events += stream.feed(chunk)
        while stream.busy:
            events += stream.feed(b"")
    return events


@pytest.mark.parametrize("data", OVER.values(), ids=OVER)
def test_a_stanza_above_the_limit_becomes_its_own_tag(data: bytes) -> None:
    rest = b" " + SHORT
    for chunks in (
        [data + rest],
        *(cut(data + rest, list(range(0, len(data), step))) for step in (1, 9, 90)),
    ):
        stream = ServerStream(LIMIT)
        stream.feed(EJABBERD_HEADER)
        assert events_of(stream, chunks) == [(MESSAGE, b"<message from='a@b'/>"), (MESSAGE, SHORT)]
        assert stream.failure is None
        assert [(set(fault.reasons), fault.sender) for fault in stream.faults] == [({"size"}, "a@b")]
        assert stream.at_border


@pytest.mark.parametrize("data", list(OVER.values())[:-1], ids=list(OVER)[:-1])
def test_what_is_no_stanza_must_keep_the_limit(data: bytes) -> None:
    data = data.replace(b"message", b"r")
    for chunks in ([data], cut(data, list(range(0, len(data), 9))), cut(data, list(range(len(data))))):
        stream = ServerStream(LIMIT)
        stream.feed(EJABBERD_HEADER)
        assert events_of(stream, chunks) == []
        assert stream.failure is not None


@pytest.mark.parametrize("text", [b"x", b" x ", b"<![CDATA[x]]>", b"&#120;", b"\xc2\xa0"])
@pytest.mark.parametrize("after", [b"", b"<b/>", b"</stream:stream>", EJABBERD_HEADER])
@pytest.mark.parametrize("before", [b"", b"<a/>", b"<a></a>"])
def test_text_between_stanzas(text: bytes, after: bytes, before: bytes) -> None:
    """Only white space may stand there (11.7); what came before is delivered, nothing after."""
    data = EJABBERD_HEADER + before + text + after
    for size in (1, 7, len(data)):
        stream = ServerStream()
        events = []
        for start in range(0, len(data), size):
            events += stream.feed(data[start : start + size])
        assert [name for name, _ in events] == [STREAM, expanded_name("jabber:client", "a")][
            : 2 if before else 1
        ]
        assert stream.failure is not None
        assert stream.failure.condition == "not-well-formed"


def test_a_stanza_of_exactly_the_limit() -> None:
    stanza = b"<message>" + b"x" * (LIMIT - 19) + b"</message>"
    assert len(stanza) == LIMIT
    for chunks in ([stanza * 3], cut(stanza * 3, list(range(3 * LIMIT)))):
        stream = ServerStream(LIMIT)
        stream.feed(EJABBERD_HEADER)
        assert [event for chunk in chunks for event in stream.feed(chunk)] == [(MESSAGE, stanza)] * 3
        assert stream.failure is None


def test_a_header_above_the_limit() -> None:
    stream = ServerStream(LIMIT)
    stream.feed(b"<stream:stream a='" + b"x" * LIMIT)
    assert stream.failure is not None
    assert stream.failure.condition == "policy-violation"


def test_the_end_of_a_stream_may_be_followed_by_nothing() -> None:
    stream = ServerStream()
    assert stream.feed(EJABBERD_HEADER + b"</stream:stream> \n")[-1] == (STREAM_END, b"")
    assert stream.failure is None
    assert stream.feed(b"<message/>") == []
    assert stream.failure is not None


@given(
    st.lists(st.sampled_from(tokens_with(EJABBERD_HEADER)), max_size=8).map(b"".join),
    st.lists(st.integers(0, 400), max_size=5),
)
def test_any_tokens_in_any_chunks_have_one_outcome(data: bytes, places: list[int]) -> None:
    """The same stanzas; a fault may be seen later in pieces, and then as another one."""
    data = EJABBERD_HEADER + data
    streams = []
    for chunks in ([data], cut(data, places), cut(data, list(range(len(data))))):
        stream = ServerStream()
        streams.append(([event for chunk in chunks for event in stream.feed(chunk)], stream.failure))
    assert [events for events, _ in streams] == [streams[0][0]] * 3
    conditions = {failure.condition for _, failure in streams if failure}
    assert conditions <= {"not-well-formed", "restricted-xml", "invalid-namespace"}
