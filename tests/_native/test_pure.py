"""The functions on frames: in Python, and in C with the same results."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.both_ways import needs_native
from tests.test_websocket_frame import MASK, frame, text
from wsgw._native import pure
from wsgw._native.choice import core
from wsgw._native.functions import Functions
from wsgw.websocket_frame import Opcode

NATIVE = core()


@pytest.fixture(params=[pure, pytest.param(NATIVE, marks=needs_native)], ids=["pure", "native"])
def functions(request: pytest.FixtureRequest) -> Functions | ModuleType:
    """The functions in Python, then those in C."""
    chosen: Functions | ModuleType = request.param
    return chosen


@pytest.mark.parametrize("size", [*range(20), 2048, 2049, 2050, 2051])
def test_unmasking_is_the_exclusive_or_of_section_5_3(functions: Functions | ModuleType, size: int) -> None:
    payload = bytes(number % 256 for number in range(size))
    masked = bytes(byte ^ MASK[number % 4] for number, byte in enumerate(payload))
    assert functions.unmask(masked, MASK) == payload
    assert functions.unmask(payload, MASK) == masked


@pytest.mark.parametrize("payload", [b"x", "ж".encode() * 60, b"x" * 125, b"x" * 126, b"x" * 65535])
def test_a_whole_text_frame_is_read(functions: Functions | ModuleType, payload: bytes) -> None:
    data = b"before" + text(payload) + b"after"
    end = len(data) - len(b"after")
    assert functions.text_frame(data, 6, len(payload)) == (payload, end)
    assert functions.text_frame(data, 6, len(payload) - 1) is None
    for missing in (1, len(payload), len(payload) + 1, end - 7, end - 6):
        assert functions.text_frame(data[: end - missing], 6, 1 << 20) is None


@pytest.mark.parametrize(
    "data",
    [
        text(b""),
        text(b"x", final=False),
        frame(Opcode.BINARY, b"x"),
        frame(Opcode.PING, b"x"),
        frame(Opcode.TEXT, b"x", mask=None) + b"more bytes",
        text(b"\xff"),
        text(b"\xed\xa0\x80"),
        text(b"\xc3"),
        b"\x81\xfe\x00\x05" + MASK + b"xxxxx",
        b"\x81\xff" + b"\x00" * 7 + b"\x05" + MASK + b"xxxxx",
        b"\x81\xff" + b"\xff" * 8 + MASK + b"xxxxx",
    ],
)
def test_any_other_frame_is_left_to_the_parser(functions: Functions | ModuleType, data: bytes) -> None:
    assert functions.text_frame(data, 0, 1 << 20) is None


@needs_native
@given(
    st.binary(max_size=40),
    st.integers(0, 40),
    st.integers(0, 300),
    st.sampled_from([b"", b"\x81", b"\x81\x85"]),
)
def test_both_read_the_same_of_any_bytes(data: bytes, start: int, max_size: int, begun: bytes) -> None:
    assert NATIVE is not None
    data = begun + data
    start = min(start, len(data))
    assert NATIVE.text_frame(data, start, max_size) == pure.text_frame(data, start, max_size)


@needs_native
@given(st.text().map(str.encode) | st.binary())
def test_utf8_is_what_python_decodes(payload: bytes) -> None:
    assert NATIVE is not None
    assert NATIVE.text_frame(text(payload), 0, 1 << 20) == pure.text_frame(text(payload), 0, 1 << 20)


@needs_native
def test_every_sequence_of_up_to_four_bytes_is_judged_as_by_python() -> None:
    """UTF-8 by its borders: each first byte, with continuations at the ends of their ranges."""
    assert NATIVE is not None
    edges = (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF)
    for first in range(256):
        for second in edges:
            for third in edges:
                data = text(bytes((first, second, third, 0x80)))
                assert NATIVE.text_frame(data, 0, 4) == pure.text_frame(data, 0, 4)


@needs_native
def test_a_frame_with_the_longest_header_is_read() -> None:
    assert NATIVE is not None
    data = text(b"x" * 65536)
    assert NATIVE.text_frame(data, 0, 65536) == (b"x" * 65536, len(data))
    assert NATIVE.text_frame(data, 0, 65535) is None
    assert NATIVE.text_frame(data[:-1], 0, 65536) is None
