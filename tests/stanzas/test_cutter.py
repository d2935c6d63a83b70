"""The borders of stanzas as one parser sees them, and how streams share parsers between stanzas."""

from __future__ import annotations

import pytest

from tests.stanzas.server.dialogues import EJABBERD_HEADER, KIB, MESSAGE
from wsgw.errors import StreamError
from wsgw.stanzas import cutter
from wsgw.stanzas.cutter import STREAM_END, StanzaCutter, give_back, take_cutter
from wsgw.stanzas.parser import STREAM, STREAMS, expanded_name
from wsgw.stanzas.server import ServerStream

HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
#: Each ends in complete markup, so that a chunk may end after any of them.
PIECES = [
    b"<?xml version='1.0'?>",
    HEADER,
    b"<stream:features><a/>",
    b"</stream:features>",
    b"\n ",
    b"<presence/>",
    b"<message id='1'>",
    b"<body>text",
    b", and more &lt;",
    b"</body></message>",
    b"<iq type='get'/>",
    b"</stream:stream>",
]
EVENTS = [
    (STREAM, HEADER),
    (expanded_name(STREAMS, "features"), b"<stream:features><a/></stream:features>"),
    (expanded_name("jabber:client", "presence"), b"<presence/>"),
    (MESSAGE, b"<message id='1'><body>text, and more &lt;</body></message>"),
    (expanded_name("jabber:client", "iq"), b"<iq type='get'/>"),
    (STREAM_END, b""),
]


def after_header() -> StanzaCutter:
    cutter = StanzaCutter()
    cutter.cut(HEADER, [])
    return cutter


# -- borders ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(len(PIECES)))
def test_stanzas_come_whole_and_at_their_last_byte_at_every_split_point(first: int) -> None:
    for second in range(first, len(PIECES) + 1):
        cutter, events = StanzaCutter(), list[tuple[str, bytes]]()
        for chunk in (PIECES[:first], PIECES[first:second], PIECES[second:]):
            assert cutter.cut(b"".join(chunk), events) == b""
        assert events == EVENTS


def test_what_is_under_way_is_pending_and_deep() -> None:
    cutter, events = after_header(), list[tuple[str, bytes]]()
    begun = b""
    for piece, depth in ((b"<message>", 2), (b"<a><b>", 4), (b"text", 4), (b"</b>", 3)):
        cutter.cut(piece, events)
        begun += piece
        assert (bytes(cutter.pending), cutter.depth, events) == (begun, depth, [])
    cutter.cut(b"</a></message> ", events)
    assert (bytes(cutter.pending), cutter.depth) == (b"", 1)
    assert events == [(MESSAGE, begun + b"</a></message>")]


def test_a_header_leaves_what_it_binds() -> None:
    """A cutter made from that stands where one stands that has read the header."""
    bindings = after_header().bindings
    assert bindings.startswith(b"<stream:stream ")
    assert b"id=" not in bindings
    assert b"xmlns='jabber:client'" in bindings.replace(b'"', b"'")
    events: list[tuple[str, bytes]] = []
    assert StanzaCutter(bindings).cut(b"<message/><stream:a/>", events) == b""
    assert events == [(MESSAGE, b"<message/>"), (expanded_name(STREAMS, "a"), b"<stream:a/>")]


@pytest.mark.parametrize("declaration", [b"", b"<?xml version='1.0'?>"])
def test_a_new_stream_is_left_to_another_cutter_from_its_first_byte_on(declaration: bytes) -> None:
    cutter, events = after_header(), list[tuple[str, bytes]]()
    rest = declaration + HEADER + b"<presence/>"
    assert cutter.cut(b"<message/>\n" + rest, events) == rest
    assert cutter.restarted
    assert events == [(MESSAGE, b"<message/>")]


@pytest.mark.parametrize("split", [0, len(b"<message><a>"), len(b"<message><a></a>")])
def test_a_stanza_it_cannot_judge_is_left_from_its_first_byte_on(split: int) -> None:
    faulty = b"<message><a></a><p:b/></message><presence/>"
    cutter, events = after_header(), list[tuple[str, bytes]]()
    cutter.cut(b"<message/>" + faulty[:split], events)
    assert cutter.cut(faulty[split:], events) == faulty
    assert cutter.refused
    assert events == [(MESSAGE, b"<message/>")]


@pytest.mark.parametrize(("more", "is_refused"), [(0, False), (1, True)])
def test_a_stanza_above_the_limit_is_left(more: int, is_refused: bool) -> None:
    cutter, events = after_header(), list[tuple[str, bytes]]()
    cutter.limit = 100
    stanza = b"<message>%s</message>" % (b"x" * (100 - len(b"<message></message>") + more))
    rest = cutter.cut(stanza, events)
    assert (cutter.refused, rest, events) == (
        is_refused,
        stanza if is_refused else b"",
        [] if is_refused else [(MESSAGE, stanza)],
    )


@pytest.mark.parametrize(
    ("before", "chunk", "condition"),
    [
        (b"", b"HTTP/1.1 400 Bad Request", "not-well-formed"),
        (b"", b"<html>", "invalid-namespace"),
        (HEADER, b"<a/>text<b/>", "not-well-formed"),
        (HEADER, b"text</stream:stream>", "not-well-formed"),
        (HEADER, b"</stream:stream><a/>", "not-well-formed"),
    ],
)
def test_what_breaks_the_rules_of_the_stream_ends_it(before: bytes, chunk: bytes, condition: str) -> None:
    cutter = StanzaCutter()
    cutter.cut(before, [])
    with pytest.raises(StreamError) as raised:
        cutter.cut(chunk, [])
    assert raised.value.condition == condition


# -- sharing ---------------------------------------------------------------------------------------------


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


def test_a_cutter_is_taken_by_what_its_header_binds() -> None:
    one = after_header()
    give_back(one)
    assert take_cutter(one.bindings) is one
    assert take_cutter(one.bindings) is not one, "it is in use"


def test_an_exhausted_cutter_is_not_given_back() -> None:
    worn = after_header()
    for number in range(cutter.MAX_NAMES + 1):
        worn.cut(b"<n%d/>" % number, [])
    assert worn.exhausted
    give_back(worn)
    assert idle_cutters() == []
