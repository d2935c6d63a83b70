"""A server's whole stream, cut at every point."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stanzas.server.dialogues import (
    DIALOGUES,
    EJABBERD,
    EJABBERD_HEADER,
    PROSODY,
    XML,
    Dialogue,
    Events,
    cut,
    events_by,
    octets,
)
from wsgw.stanzas.parser import STREAM
from wsgw.stanzas.server import ServerStream


@DIALOGUES
def test_a_dialogue_in_one_chunk_gives_its_events(dialogue: Dialogue) -> None:
    stream = ServerStream()
    assert stream.feed(octets(dialogue)) == events_by(dialogue, 1 << 20)
    assert stream.failure is None


@DIALOGUES
def test_at_every_split_point_each_stanza_comes_at_its_last_byte(dialogue: Dialogue) -> None:
    data = octets(dialogue)
    everything = events_by(dialogue, len(data))
    for place in range(len(data) + 1):
        stream = ServerStream()
        early = stream.feed(data[:place])
        assert early == events_by(dialogue, place), data[:place]
        assert early + stream.feed(data[place:]) == everything, data[:place]
        assert stream.failure is None


@DIALOGUES
def test_a_dialogue_byte_by_byte_gives_its_events(dialogue: Dialogue) -> None:
    data = octets(dialogue)
    stream = ServerStream()
    events: Events = []
    for place in range(len(data)):
        events += stream.feed(data[place : place + 1])
        assert events == events_by(dialogue, place + 1)
    assert stream.failure is None


@pytest.mark.rule("7395-3.3.3-each")
@given(st.sampled_from([EJABBERD, PROSODY]), st.lists(st.integers(0, 3000), max_size=12))
def test_any_chunking_gives_the_same_events(dialogue: Dialogue, places: list[int]) -> None:
    data = octets(dialogue)
    stream = ServerStream()
    events: Events = []
    for chunk in cut(data, places):
        events += stream.feed(chunk)
    assert (events, stream.failure) == (events_by(dialogue, len(data)), None)


HEADERS = {
    "any prefix (4.8.1)": b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>",
    "no prefix": b"<stream xmlns='http://etherx.jabber.org/streams'>",
    "'>' in an attribute": EJABBERD_HEADER.replace(b"localhost", b"a>b"),
    "line breaks": EJABBERD_HEADER.replace(b" ", b"\r\n "),
}


@pytest.mark.rule("6120-4.8.1")
@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_comes_as_one_event_in_any_spelling(header: bytes) -> None:
    for chunks in ([b" \n" + XML + header], cut(XML + b"\n" + header, list(range(len(header) + 22)))):
        stream = ServerStream()
        assert [event for chunk in chunks for event in stream.feed(chunk)] == [(STREAM, header)]
        assert stream.at_border


def test_at_border_is_true_only_between_stanzas() -> None:
    stream = ServerStream()
    border = [(EJABBERD_HEADER[:-1], False), (b">", True), (b" ", True), (b"<", False), (b"a>", False)]
    border += [(b"text", False), (b"</a>", True), (b"<a/>", True), (b"</stream:stream>", False)]
    for chunk, expected in border:
        stream.feed(chunk)
        assert stream.at_border is expected, chunk
