"""RFC 6455 section 5: frames, violations, and the byte at which a violation is found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.errors import CloseCode, InvalidText, MessageTooBig, WebSocketViolation
from wsgw.websocket_frame import (
    FRAGMENT,
    MAX_CLOSE_REASON,
    FrameParser,
    Opcode,
    make,
    make_binary,
    make_close,
    make_ping,
    make_pong,
    parse_close,
)

pytestmark = pytest.mark.usefixtures("both_ways")

MASK = b"\x37\xfa\x21\x3d"  # section 5.7's own example
LIMIT = 1000
KIB = 1024

#: (messages, close code or 0): the whole outcome of a parser.
Outcome = tuple[list[tuple[int, bytes]], int]


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    final: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    length: bytes | None = None,
) -> bytes:
    """Encode one client frame by the picture of section 5.2; ``length`` replaces the length field."""
    size = len(payload)
    if length is None:
        if size < 126:
            length = bytes((size,))
        elif size < 65536:
            length = b"\x7e" + size.to_bytes(2, "big")
        else:
            length = b"\x7f" + size.to_bytes(8, "big")
    head = bytes((final << 7 | rsv << 4 | opcode, (mask is not None) << 7 | length[0])) + length[1:]
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def text(payload: bytes, *, final: bool = True) -> bytes:
    return frame(Opcode.TEXT, payload, final=final)


def more(payload: bytes, *, final: bool = False) -> bytes:
    return frame(Opcode.CONTINUATION, payload, final=final)


def outcome(chunks: Iterable[bytes], *, limit: int = LIMIT, binary: bool = False) -> Outcome:
    parser = FrameParser(limit, accept_binary=binary)
    messages: list[tuple[int, bytes]] = []
    try:
        for chunk in chunks:
            parser.feed(chunk)
            while (message := parser.parse_stream()) is not None:
                if message is not FRAGMENT:
                    messages.append(message)
    except WebSocketViolation as violation:
        return messages, violation.code
    return messages, 0


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


def earliest_violation(data: bytes, **options: Any) -> int:
    """The number of bytes after which the violation is found."""
    for taken in range(len(data) + 1):
        if outcome([data[:taken]], **options)[1]:
            return taken
    raise AssertionError("no violation")


# -- valid frames ----------------------------------------------------------------------------------

EURO = "€".encode()
ASTRAL = "𝄞".encode()

ACCEPTED = {
    "a text frame (5.6)": (text(b"Hello"), [(1, b"Hello")]),
    "section 5.7's masked Hello": (bytes.fromhex("818537fa213d7f9f4d5158"), [(1, b"Hello")]),
    "an empty text frame": (text(b""), [(1, b"")]),
    "text beyond ASCII": (text(EURO + ASTRAL), [(1, EURO + ASTRAL)]),
    "125 bytes, the longest short length (5.2)": (text(b"x" * 125), [(1, b"x" * 125)]),
    "126 bytes, the shortest 16-bit length": (text(b"x" * 126), [(1, b"x" * 126)]),
    "exactly the limit": (text(b"x" * LIMIT), [(1, b"x" * LIMIT)]),
    "an empty ping (5.5.2)": (frame(Opcode.PING), [(9, b"")]),
    "a ping of 125 bytes": (frame(Opcode.PING, b"p" * 125), [(9, b"p" * 125)]),
    "an unsolicited pong (5.5.3)": (frame(Opcode.PONG, b"x"), [(10, b"x")]),
    "an empty Close (5.5.1)": (frame(Opcode.CLOSE), [(8, b"")]),
    "a Close with code and reason": (frame(Opcode.CLOSE, b"\x03\xe8bye"), [(8, b"\x03\xe8bye")]),
    "two fragments (5.4)": (text(b"Hel", final=False) + more(b"lo", final=True), [(1, b"Hello")]),
    "empty fragments": (
        text(b"", final=False) + more(b"") + more(b"a") + more(b"", final=True),
        [(1, b"a")],
    ),
    "control frames between fragments (5.4)": (
        text(b"Hel", final=False) + frame(Opcode.PING, b"1") + more(b"l") + frame(Opcode.PONG)
        + more(b"o", final=True) + text(b"next"),
        [(9, b"1"), (10, b""), (1, b"Hello"), (1, b"next")],
    ),
    "a character cut by a fragment border (8.1)": (
        text(EURO[:1], final=False) + more(EURO[1:2]) + more(EURO[2:], final=True),
        [(1, EURO)],
    ),
    "control frames of a fragmented message do not count to its size": (
        text(b"x" * LIMIT, final=False) + frame(Opcode.PING, b"p" * 125) + more(b"", final=True),
        [(9, b"p" * 125), (1, b"x" * LIMIT)],
    ),
    "a mask of zeros": (frame(Opcode.TEXT, b"plain", mask=bytes(4)), [(1, b"plain")]),
}  # fmt: skip


@pytest.mark.parametrize(("data", "messages"), ACCEPTED.values(), ids=ACCEPTED)
def test_a_frame_is_read_whole_byte_by_byte_and_with_trailing_data(
    data: bytes, messages: list[tuple[int, bytes]]
) -> None:
    assert outcome([data]) == (messages, 0)
    assert outcome(byte_by_byte(data)) == (messages, 0)
    trailing = text(b"trailing")
    assert outcome([data + trailing]) == ([*messages, (1, b"trailing")], 0)
    assert outcome([data + trailing[:-1]]) == (messages, 0)


_SIZES = (0, 1, 125, 126, 65535, 65536)
_MADE = [
    *((make, Opcode.TEXT, size) for size in _SIZES),
    *((make_binary, Opcode.BINARY, size) for size in _SIZES),
    *((make_ping, Opcode.PING, size) for size in _SIZES if size <= 125),
    *((make_pong, Opcode.PONG, size) for size in _SIZES if size <= 125),
]


@pytest.mark.rule("6455-5.1")
@pytest.mark.parametrize(("maker", "opcode", "size"), _MADE)
def test_an_encoded_frame_is_the_client_frame_without_its_mask(
    maker: Callable[[bytes], bytes], opcode: Opcode, size: int
) -> None:
    payload = b"x" * size
    assert maker(payload) == frame(opcode, payload, mask=None)  # section 5.1: a server never masks
    assert outcome([frame(opcode, payload)], limit=size, binary=True) == ([(opcode, payload)], 0)


def test_binary_is_read_where_it_is_accepted() -> None:
    data = frame(Opcode.BINARY, b"\xff", final=False) + more(b"\xfe", final=True)
    for chunks in ([data], byte_by_byte(data)):
        assert outcome(chunks, binary=True) == ([(2, b"\xff\xfe")], 0)


@pytest.mark.rule("regression-fragments")
def test_a_stanza_of_200_kib_in_64_fragments_is_one_message() -> None:
    stanza = ("ä€𝄞x" * 20480).encode()
    assert len(stanza) == 200 * KIB
    pieces = [stanza[start : start + 3200] for start in range(0, len(stanza), 3200)]
    assert len(pieces) == 64
    data = text(pieces[0], final=False)
    data += b"".join(more(piece) + frame(Opcode.PING, b"?") for piece in pieces[1:-1])
    data += more(pieces[-1], final=True)
    chunks = [data[start : start + 1460] for start in range(0, len(data), 1460)]
    for fed in ([data], chunks):
        messages, code = outcome(fed, limit=256 * KIB)
        assert messages == [(9, b"?")] * 62 + [(1, stanza)]
        assert code == 0


# -- violations ------------------------------------------------------------------------------------

#: name: (bytes, close code, number of bytes that show the violation)
VIOLATIONS = {
    "5.2: RSV1 without an extension": (frame(Opcode.TEXT, b"x", rsv=4), 1002, 1),
    "5.2: RSV2": (frame(Opcode.TEXT, b"x", rsv=2), 1002, 1),
    "5.2: RSV3 on a control frame": (frame(Opcode.PING, rsv=1), 1002, 1),
    "5.2: RSV on a continuation": (text(b"x", final=False) + frame(0, b"y", rsv=4), 1002, 8),
    **{f"5.2: opcode {code:#x} is reserved": (frame(code), 1002, 1) for code in (3, 4, 5, 6, 7)},
    **{f"5.2: opcode {code:#x} is reserved": (frame(code), 1002, 1) for code in range(0xB, 0x10)},
    "5.1: an unmasked text frame": (frame(Opcode.TEXT, b"x", mask=None), 1002, 2),
    "5.1: an unmasked Close": (frame(Opcode.CLOSE, mask=None), 1002, 2),
    "5.1: an unmasked continuation": (text(b"x", final=False) + frame(0, b"y", mask=None), 1002, 9),
    "5.2: 16-bit length for 125 bytes": (frame(1, b"x" * 125, length=b"\x7e\0\x7d"), 1002, 4),
    "5.2: 16-bit length for nothing": (frame(1, length=b"\x7e\0\0"), 1002, 4),
    "5.2: 64-bit length for 65535 bytes": (frame(1, length=b"\x7f" + bytes(6) + b"\xff\xff"), 1002, 10),
    "5.2: 64-bit length with its top bit": (frame(1, length=b"\x7f\x80" + bytes(7)), 1002, 10),
    "5.5: a fragmented ping": (frame(Opcode.PING, final=False), 1002, 1),
    "5.5: a fragmented Close": (frame(Opcode.CLOSE, final=False), 1002, 1),
    "5.5: a ping of 126 bytes": (frame(Opcode.PING, b"x" * 126), 1002, 2),
    "5.5: a Close with a 64-bit length": (frame(Opcode.CLOSE, length=b"\x7f" + bytes(8)), 1002, 2),
    "5.4: a continuation of nothing": (more(b"x", final=True), 1002, 1),
    "5.4: a continuation after the end": (
        text(b"a", final=False) + more(b"b", final=True) + more(b"c", final=True), 1002, 15,
    ),
    "5.4: a text frame inside a message": (text(b"a", final=False) + text(b"b"), 1002, 8),
    "5.4: a binary frame inside a message": (text(b"a", final=False) + frame(2, b"b"), 1002, 8),
    "binary where only text is spoken": (frame(Opcode.BINARY, b"x"), 1003, 1),
    "binary, unmasked: the first byte decides": (frame(Opcode.BINARY, b"x", mask=None), 1003, 1),
    "10.4: above the limit, 16-bit length": (text(b"x" * (LIMIT + 1)), 1009, 4),
    "10.4: above the limit, 64-bit length": (text(b"x" * 65536), 1009, 10),
    "10.4: above the limit in its second fragment": (
        text(b"x" * LIMIT, final=False) + more(b"x", final=True), 1009, 8 + LIMIT + 2,
    ),
    "10.4: one fragment above the limit": (text(b"x" * (LIMIT + 1), final=False), 1009, 4),
    "8.1: a byte that starts nothing": (text(b"ab\xffcd"), 1007, 9),
    "8.1: a stray continuation byte": (text(b"\x80"), 1007, 7),
    "8.1: an overlong form": (text(b"\xc0\xafxx"), 1007, 7),
    "8.1: beyond U+10FFFF": (text(b"\xf4\x90\x80\x80"), 1007, 8),
    "8.1: a character broken off": (text(b"\xe2\x82xyz"), 1007, 9),
    "8.1: a surrogate": (text(b"\xed\xa0\x80xyz"), 1007, 8),
    "8.1: the last surrogate": (text(b"\xed\xbf\xbfxyz"), 1007, 8),
    "8.1: a surrogate across fragments": (
        text(b"x\xed", final=False) + more(b"\xa0" + b"x" * 50), 1007, 8 + 7,
    ),
    "8.1: text that ends inside a character": (text(EURO[:2]), 1007, 8),
    "8.1: bad text in an unfinished fragment": (text(b"a\xfe" + b"x" * 50, final=False), 1007, 8),
    "8.1: bad text across fragments": (
        text(b"\xce", final=False) + more(b"\x28" + b"x" * 50), 1007, 7 + 7,
    ),
    "8.1: the last fragment ends inside a character": (
        text(b"x", final=False) + more(b"\xf0\x9d", final=True), 1007, 7 + 8,
    ),
}  # fmt: skip


def test_the_reason_of_a_compressed_frame_names_a_proxy() -> None:
    parser = FrameParser(1000)
    parser.feed(frame(Opcode.TEXT, b"x", rsv=4))
    with pytest.raises(WebSocketViolation, match="permessage-deflate") as caught:
        parser.parse_stream()
    assert caught.value.code == 1002
    assert len(caught.value.reason) <= 123


@pytest.mark.rule("6455-5.2", "6455-5.5")
@pytest.mark.parametrize(("data", "code", "_taken"), VIOLATIONS.values(), ids=VIOLATIONS)
def test_a_violation_is_found_whole_byte_by_byte_and_with_trailing_data(
    data: bytes, code: int, _taken: int
) -> None:
    good = text(b"good")
    for chunks in ([data], byte_by_byte(data), [data + good], [data, good]):
        assert outcome(chunks)[1] == code
    messages, _ = outcome([good + data])
    assert messages[0] == (1, b"good"), "the messages before are delivered"


@pytest.mark.rule("6455-5.1", "6455-8.1", "6455-10.4")
@pytest.mark.parametrize(("data", "_code", "taken"), VIOLATIONS.values(), ids=VIOLATIONS)
def test_a_violation_is_found_at_the_earliest_byte(data: bytes, _code: int, taken: int) -> None:
    assert earliest_violation(data) == taken


def test_a_violation_has_its_kind_and_reason() -> None:
    for data, kind in ((text(b"\xff"), InvalidText), (text(b"x" * (LIMIT + 1)), MessageTooBig)):
        parser = FrameParser(LIMIT)
        parser.feed(data)
        with pytest.raises(kind):
            parser.parse_stream()
    parser = FrameParser(LIMIT)
    parser.feed(frame(Opcode.TEXT, mask=None))
    with pytest.raises(WebSocketViolation) as caught:
        parser.parse_stream()
    assert caught.value.reason == "unmasked frame from a client"


def test_the_limit_may_change_between_messages() -> None:
    parser = FrameParser(3)
    parser.feed(text(b"abc") + text(b"abcd"))
    assert parser.parse_stream() == (1, b"abc")
    parser.max_message_size = 4
    assert parser.parse_stream() == (1, b"abcd")
    parser.max_message_size = 3
    parser.feed(text(b"abcd"))
    with pytest.raises(MessageTooBig):
        parser.parse_stream()


def test_the_parser_keeps_no_bytes_of_read_messages() -> None:
    parser = FrameParser(100 * KIB)
    for data in (text(b"x" * 60 * KIB), text(b"x" * 60 * KIB)[: 50 * KIB]):
        parser.feed(data)
        while parser.parse_stream():
            pass
        assert parser._buffer == b""


# -- Close (sections 5.5.1 and 7.4) ----------------------------------------------------------------


def close_body(code: int, reason: bytes = b"") -> bytes:
    return code.to_bytes(2, "big") + reason


@pytest.mark.rule("6455-7.4")
@pytest.mark.parametrize(
    "code", [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999], ids="code {}".format
)
def test_a_close_code_is_written_and_read(code: int) -> None:
    assert parse_close(close_body(code, "für €".encode())) == (code, "für €".encode())
    assert make_close(code, b"why") == frame(Opcode.CLOSE, close_body(code, b"why"), mask=None)


def test_an_empty_close_counts_as_normal() -> None:
    assert parse_close(b"") == (CloseCode.NORMAL, b"")
    assert make_close() == frame(Opcode.CLOSE, close_body(1000), mask=None)


BAD_CLOSES = {
    "5.5.1: a body of one byte": (b"\x03", 1002),
    **{
        f"7.4: code {code}": (close_body(code), 1002)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "8.1: a reason that is not UTF-8": (close_body(1000, b"\xff"), 1007),
    "8.1: a reason cut inside a character": (close_body(1000, EURO[:2]), 1007),
}


@pytest.mark.rule("6455-7.4")
@pytest.mark.parametrize(("body", "code"), BAD_CLOSES.values(), ids=BAD_CLOSES)
def test_a_bad_close_is_a_violation(body: bytes, code: int) -> None:
    with pytest.raises(WebSocketViolation) as caught:
        parse_close(body)
    assert caught.value.code == code


@pytest.mark.rule("6455-5.5.1-reason")
@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        (b"x" * MAX_CLOSE_REASON, b"x" * 123),
        (b"x" * 200, b"x" * 123),
        (b"x" * 122 + EURO, b"x" * 122),
        (b"xx" + EURO * 41, b"xx" + EURO * 40),
        (EURO * 41, EURO * 41),
    ],
)
def test_a_close_reason_is_cut_to_whole_characters(reason: bytes, sent: bytes) -> None:
    made = make_close(1008, reason)
    assert made == frame(Opcode.CLOSE, close_body(1008, sent), mask=None)
    assert parse_close(made[2:]) == (1008, sent)


# -- any chunking, any bytes -----------------------------------------------------------------------

frames = st.builds(
    frame,
    st.sampled_from([0, 1, 1, 1, 2, 3, 8, 9, 10]),
    st.one_of(st.text(max_size=200).map(str.encode), st.binary(max_size=130)),
    final=st.booleans(),
    rsv=st.sampled_from([0] * 9 + [4]),
    mask=st.sampled_from([MASK] * 9 + [None, bytes(4)]),
)
streams = st.one_of(st.lists(frames, max_size=8).map(b"".join), st.binary(max_size=60))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(borders)]


@pytest.mark.slow
@given(streams, st.lists(st.integers(0, 2000), max_size=10), st.booleans())
def test_any_chunking_has_the_same_outcome(data: bytes, places: list[int], binary: bool) -> None:
    whole = outcome([data], limit=150, binary=binary)
    assert outcome(cut(data, places), limit=150, binary=binary) == whole
    assert outcome(byte_by_byte(data), limit=150, binary=binary) == whole


@pytest.mark.rule("6455-5.4")
@given(st.text(), st.lists(st.integers(0, 1000), max_size=6))
def test_any_text_survives_any_fragments(message: str, places: list[int]) -> None:
    pieces = cut(message.encode(), places)
    data = b"".join(
        frame(Opcode.CONTINUATION if index else Opcode.TEXT, piece, final=index == len(pieces) - 1)
        for index, piece in enumerate(pieces)
    )
    assert outcome([data]) == outcome(byte_by_byte(data)) == ([(1, message.encode())], 0)
