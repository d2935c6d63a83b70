"""Each stanza passes byte for byte, as soon as its last byte has arrived."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stanzas.server.dialogues import EJABBERD_HEADER, KIB, MESSAGE, cut
from tests.support.outcomes import of_message
from wsgw.stanzas.server import ServerStream

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


@pytest.mark.rule("bytes-own")
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


def test_white_space_keepalives_are_dropped() -> None:
    """RFC 6120 section 4.6.1; they never become a message (RFC 7395 section 3.8)."""
    stream = ServerStream(limit=100)
    stream.feed(EJABBERD_HEADER)
    for _ in range(1000):
        assert stream.feed(b" \r\n\t") == []
        assert stream.at_border
    assert stream.feed(b" <message/> ") == [(MESSAGE, b"<message/>")]
    assert stream.failure is None


def test_a_complete_stanza_does_not_wait_for_the_bytes_after_it() -> None:
    """A parser may hold back an incomplete token although its rest has arrived (reparse deferral)."""
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
    """pyexpat passes the bytes on in pieces; a tag cut in two would wait for the bytes after it."""
    for shift in range(0, 48, 5):
        stanza = b"<message><body>" + b"x" * (size - 15 - shift) + tail + b"</body></message>"
        stream = ServerStream()
        stream.feed(EJABBERD_HEADER)
        assert stream.feed(stanza) == [(MESSAGE, stanza)]
        assert of_message(EJABBERD_HEADER, stanza) == (MESSAGE, stanza)


def test_many_tags_in_more_than_a_megabyte_pass_at_once() -> None:
    stanza = b"<message>" + b"<a b='>'>d</a>" * 160_000 + b"</message>"
    stream = ServerStream()
    stream.feed(EJABBERD_HEADER)
    assert stream.feed(stanza) == [(MESSAGE, stanza)]
