"""The borders of stanzas, found by one parser."""

from __future__ import annotations

import pytest

from tests.stanzas.server.dialogues import MESSAGE
from wsgw.errors import StreamError
from wsgw.stanzas.cutter import STREAM_END, StanzaCutter
from wsgw.stanzas.parser import STREAM, STREAMS, expanded_name

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
def test_at_every_split_point_a_stanza_comes_whole_at_its_last_byte(first: int) -> None:
    for second in range(first, len(PIECES) + 1):
        cutter, events = StanzaCutter(), list[tuple[str, bytes]]()
        for chunk in (PIECES[:first], PIECES[first:second], PIECES[second:]):
            assert cutter.cut(b"".join(chunk), events) == b""
        assert events == EVENTS


def test_an_incomplete_stanza_is_pending_and_deep() -> None:
    cutter, events = after_header(), list[tuple[str, bytes]]()
    begun = b""
    for piece, depth in ((b"<message>", 2), (b"<a><b>", 4), (b"text", 4), (b"</b>", 3)):
        cutter.cut(piece, events)
        begun += piece
        assert (bytes(cutter.pending), cutter.depth, events) == (begun, depth, [])
    cutter.cut(b"</a></message> ", events)
    assert (bytes(cutter.pending), cutter.depth) == (b"", 1)
    assert events == [(MESSAGE, begun + b"</a></message>")]


def test_a_cutter_knows_the_bindings_of_its_header() -> None:
    """A cutter made from those bindings continues as one that has read the header."""
    bindings = after_header().bindings
    assert bindings.startswith(b"<stream:stream ")
    assert b"id=" not in bindings
    assert b"xmlns='jabber:client'" in bindings.replace(b'"', b"'")
    events: list[tuple[str, bytes]] = []
    assert StanzaCutter(bindings).cut(b"<message/><stream:a/>", events) == b""
    assert events == [(MESSAGE, b"<message/>"), (expanded_name(STREAMS, "a"), b"<stream:a/>")]


@pytest.mark.parametrize("declaration", [b"", b"<?xml version='1.0'?>"])
def test_a_new_stream_is_left_to_another_cutter_from_its_first_byte(declaration: bytes) -> None:
    cutter, events = after_header(), list[tuple[str, bytes]]()
    rest = declaration + HEADER + b"<presence/>"
    assert cutter.cut(b"<message/>\n" + rest, events) == rest
    assert cutter.restarted
    assert events == [(MESSAGE, b"<message/>")]


@pytest.mark.parametrize("split", [0, len(b"<message><a>"), len(b"<message><a></a>")])
def test_a_stanza_that_a_cutter_cannot_judge_is_left_from_its_first_byte(split: int) -> None:
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
def test_bytes_that_break_the_rules_end_the_stream(before: bytes, chunk: bytes, condition: str) -> None:
    cutter = StanzaCutter()
    cutter.cut(before, [])
    with pytest.raises(StreamError) as raised:
        cutter.cut(chunk, [])
    assert raised.value.condition == condition
