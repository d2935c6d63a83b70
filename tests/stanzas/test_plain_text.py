"""Long text is not given to the parser, and the result is the same."""

from __future__ import annotations

from xml.parsers import expat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.outcomes import of_message, of_stream
from wsgw.stanzas import client, cutter
from wsgw.stanzas.plain_text import LONG_TEXT, without_plain_text

HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1'>"
LONG = b"x" * LONG_TEXT
BODY = b"<message><body>%s</body></message>"


def seen_by_a_parser(data: bytes) -> bytes:
    return b"".join(piece for piece, _ in without_plain_text(data))


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        LONG * 30,
        b"line\r\n\ttab " * 1000,
        "täglich, 世界，😀 ".encode() * 200,
        "\x7f\ufffd\ud7ff\ue000\U0001fffe\U0010ffff".encode() * 200,
        b"]] " * 1000 + b"]]",
        b"'\"/=!?-- " * 1000,
    ],
)
def test_plain_text_is_left_out(text: bytes) -> None:
    assert without_plain_text(BODY % text) == [(b"<message><body>", 0), (b"</body></message>", len(text))]
    expat.ParserCreate().Parse(BODY % text, True)


@pytest.mark.parametrize(
    "mistake",
    [
        *(bytes((byte,)) for byte in range(0x20) if byte not in b"\t\n\r"),
        b"\x80",
        b"\xc0\x80",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xef\xbf\xbe",
        b"\xef\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xff",
        b"]]>",
        b"& ",
        b"&#0;",
        b"&undefined;",
    ],
)
@pytest.mark.parametrize("place", [0, 1, LONG_TEXT, 2 * LONG_TEXT])
def test_long_text_with_an_error_is_given_to_the_parser(mistake: bytes, place: int) -> None:
    text = 2 * LONG
    message = BODY % (text[:place] + mistake + text[place:])
    for seen in (message, seen_by_a_parser(message)):
        with pytest.raises(expat.ExpatError):
            expat.ParserCreate().Parse(seen, True)


def test_text_at_the_edges_of_a_chunk_is_left_out_where_it_is_safe() -> None:
    assert without_plain_text(LONG + b"<a/>") == [(b"<a/>", LONG_TEXT)]
    assert without_plain_text(b"<a>" + LONG) == [(b"<a>" + LONG, 0)], "the next bytes are unknown"
    assert without_plain_text(LONG) == [(LONG, 0)]


def test_short_text_is_given_to_the_parser() -> None:
    assert seen_by_a_parser(BODY % LONG[1:]) == BODY % LONG[1:]
    assert seen_by_a_parser(BODY % LONG) == BODY % b""


@given(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 3 * LONG_TEXT)), max_size=12))
def test_long_text_is_found_at_every_place(parts: list[tuple[int, int]]) -> None:
    data = b"".join(b"<i/>" * tags + b"x" * text for tags, text in parts) + b"<i/>"
    pieces = without_plain_text(data)
    texts = [text for text in data.replace(b"<i/>", b"<").split(b"<") if len(text) >= LONG_TEXT]
    assert [left_out for _, left_out in pieces if left_out] == [len(text) for text in texts]
    assert sum(len(piece) + left_out for piece, left_out in pieces) == len(data)


#: Parts of a message, correct and wrong, around text of any length.
_TOKENS = st.sampled_from(
    [
        *(
            b"<message>",
            b"</message>",
            b"<body>",
            b"</body>",
            b"<iq/>",
            b"<a b='",
            b"<a b='>",
            b"'>",
            b"' c='",
            b"/>",
        ),
        *(
            b"<![CDATA[",
            b"<![CDATA[>",
            b"]]>",
            b"]]",
            b">",
            b"<",
            b"<!--",
            b"-->",
            b"<?a",
            b"?>",
            b"&amp;",
            b"&",
            b"'",
        ),
        *(b"</stream:stream>", HEADER, b"<?xml version='1.0'?>", "ж".encode(), "ж".encode()[:1], b"\x01"),
        *(LONG, LONG, LONG, b" " * LONG_TEXT, "ж".encode() * LONG_TEXT),
    ]
)


@given(st.lists(_TOKENS, max_size=9).map(b"".join))
@pytest.mark.parametrize(
    "around", [b"%s", b"<message>%s</message>", b"<message>" + LONG + b"%s" + LONG + b"</message>"]
)
def test_a_clients_message_has_one_outcome(around: bytes, content: bytes) -> None:
    message = around % content
    assert _checked(message, LONG_TEXT) == _checked(message, len(message) + 1)


def _checked(message: bytes, long_text: int) -> tuple[str, bytes] | None:
    """The outcome if text of ``long_text`` bytes counts as long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "LONG_TEXT", long_text)
        return of_message(b"<messages>", message)


@given(st.lists(_TOKENS, max_size=9).map(b"".join), st.lists(st.integers(0, 9 * LONG_TEXT), max_size=3))
@pytest.mark.parametrize("around", [b"%s", BODY, HEADER + BODY])
def test_a_servers_stream_has_one_outcome(around: bytes, content: bytes, places: list[int]) -> None:
    data = HEADER + around % content
    assert _cut(data, places, LONG_TEXT) == _cut(data, places, len(data) + 1)


def _cut(data: bytes, places: list[int], long_text: int) -> tuple[list[tuple[str, bytes]], bool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutter, "LONG_TEXT", long_text)
        return of_stream(data, places)
