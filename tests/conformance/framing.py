"""Families 1, 3 and 4: lengths, chops, masks, reserved bits and opcodes (RFC 6455 sections 5.1 to 5.3)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance.script import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Case,
    Frame,
    Pause,
    Raw,
    Sized,
    binary,
    echo,
    echo_sized,
    fails,
    more,
    ping,
    ponged,
    text,
)

_NAMES = {TEXT: "text", BINARY: "binary"}
_HELLO = b"Hello, world!"


def _lengths() -> Iterator[Case]:
    whole = [(size, 0) for size in (0, 125, 126, 127, 128, 65535, 65536)]
    sizes = [*whole, (65536, 997), (0, 1), (125, 1), (126, 1), (127, 3), (65535, 1009)]
    for group, opcode in ((1, TEXT), (2, BINARY)):
        for number, (size, chop) in enumerate(sizes, 1):
            message = Sized(opcode, size)
            title = f"{_NAMES[opcode]} message of {size} octets" + (f", {chop} per write" if chop else "")
            yield Case(f"1.{group}.{number}", "5.2", title, (message, echo_sized(message)), chop)


def _length_fields() -> Iterator[Case]:
    def refused(number: int, title: str, length: bytes, payload: bytes = b"", opcode: int = TEXT) -> Case:
        return Case(f"1.3.{number}", "5.2", title, (Frame(opcode, payload, length=length), fails()))

    yield refused(1, "16-bit length for 125 octets", b"\x7e\x00\x7d", b"*" * 125)
    yield refused(2, "16-bit length for no octets", b"\x7e\x00\x00")
    yield refused(3, "64-bit length for 125 octets", b"\x7f" + (125).to_bytes(8, "big"), b"*" * 125)
    yield refused(
        4, "64-bit length for 65535 octets, refused before they arrive", b"\x7f" + bytes(6) + b"\xff\xff"
    )
    yield refused(5, "64-bit length with its top bit set", b"\x7f\x80" + bytes(7))
    yield refused(6, "64-bit length with all bits set", b"\x7f" + b"\xff" * 8)
    long_fragment = (text(b"*", fin=False), Frame(CONTINUATION, length=b"\x7e\x00\x00"), fails())
    yield Case("1.3.7", "5.2", "16-bit length for no octets, on a continuation", long_fragment)


def _masks() -> Iterator[Case]:
    def unmasked(number: int, name: str, *frames: Frame) -> Case:
        return Case(f"1.4.{number}", "5.1", f"{name} without a mask", (*frames, fails()))

    yield unmasked(1, "text", Frame(TEXT, _HELLO, masked=False))
    yield unmasked(2, "empty text", Frame(TEXT, masked=False))
    yield unmasked(3, "ping", Frame(PING, masked=False))
    yield unmasked(4, "Close", Frame(CLOSE, b"\x03\xe8", masked=False))
    yield unmasked(5, "continuation", text(b"a", fin=False), Frame(CONTINUATION, b"b", masked=False))
    behind = (text(b"a"), Frame(TEXT, b"b", masked=False), echo(b"a"), fails())
    yield Case("1.4.6", "5.1", "text without a mask, in one write with a valid one", behind)
    script = (text(b"a"), echo(b"a"), Frame(TEXT, b"b", masked=False), fails())
    yield Case("1.4.7", "5.1", "text without a mask, after one that was echoed", script)
    yield Case("1.4.12", "5.1", "text without a mask, by its first two octets", (Raw(b"\x81\x05"), fails()))
    for number, mask in ((8, bytes(4)), (9, b"\xff" * 4), (10, b"\x37\xfa\x21\x3d"), (11, b"Hell")):
        frame = Frame(TEXT, _HELLO, mask=mask)
        yield Case(f"1.4.{number}", "5.3", f"mask {mask.hex()}", (frame, echo(_HELLO)))


def _reserved_bits() -> Iterator[Case]:
    yield Case("3.1", "5.2", "RSV3 on a text frame", (text(_HELLO, rsv=1), fails()))
    after = (text(b"first"), text(_HELLO, rsv=2), ping(), echo(b"first"), fails())
    yield Case("3.2", "5.2", "RSV2 on the second text frame, a ping after it", after)
    yield Case("3.3", "5.2", "RSV2 and RSV3 on the second text frame, one octet per write", (
        text(b"first"), echo(b"first"), text(_HELLO, rsv=3), fails()), 1)  # fmt: skip
    yield Case("3.4", "5.2", "RSV1 on the second text frame, a ping after it, one octet per write", (
        text(b"first"), echo(b"first"), text(_HELLO, rsv=4), ping(), fails()), 1)  # fmt: skip
    yield Case("3.5", "5.2", "RSV1 and RSV3 on a binary frame", (binary(bytes(range(256)), rsv=5), fails()))
    yield Case("3.6", "5.2", "RSV1 and RSV2 on a ping", (Frame(PING, b"x", rsv=6), fails()))
    yield Case("3.7", "5.2", "all three bits on a Close", (Frame(CLOSE, b"\x03\xe8", rsv=7), fails()))
    yield Case("3.8", "5.2", "RSV1 on a continuation", (text(b"a", fin=False), more(b"b", rsv=4), fails()))
    withheld = Frame(TEXT, rsv=4, withheld=1000)
    yield Case("3.9", "5.2", "RSV1 on a frame whose payload never arrives", (withheld, fails()))
    bits = (("3.10", 4, "RSV1"), ("3.11", 2, "RSV2"), ("3.12", 1, "RSV3"))
    for number, rsv, name in bits:
        yield Case(number, "5.2", f"{name} on an empty text frame", (text(b"", rsv=rsv), fails()))
    yield Case("3.13", "5.2", "RSV1, refused at its first octet", (Raw(b"\xc1"), fails()))


def _opcodes() -> Iterator[Case]:
    for group, first in ((1, 0x3), (2, 0xB)):
        for number, opcode in enumerate(range(first, first + 5), 1):
            frame = Frame(opcode, _HELLO if number % 2 else b"")
            name, payload = f"reserved opcode {opcode:#x}", "with payload" if number % 2 else "empty"
            yield Case(f"4.{group}.{number}", "5.2", f"{name}, {payload}", (frame, fails()))
            yield Case(f"4.{group}.{number + 5}", "5.2", f"{name} after a text, a ping after it", (
                text(b"first"), frame, ping(), echo(b"first"), fails()))  # fmt: skip
            yield Case(f"4.{group}.{number + 10}", "5.2", f"{name} after a text, one octet per write", (
                text(b"first"), echo(b"first"), frame, ping(), fails()), 1)  # fmt: skip
            yield Case(f"4.{group}.{number + 15}", "5.4", f"{name} inside a fragmented text", (
                text(b"a", fin=False), frame, more(b"b", fin=True), fails()))  # fmt: skip


def _first_octets() -> Iterator[Case]:
    for group, first in ((1, 0x3), (2, 0xB)):
        for number, opcode in enumerate(range(first, first + 5), 21):
            title = f"reserved opcode {opcode:#x}, refused at its first octet"
            yield Case(f"4.{group}.{number}", "5.2", title, (Raw(bytes((0x80 | opcode,))), fails()))


def _pauses() -> Iterator[Case]:
    script = (text(b"a"), ping(b"1"), text(b"b"), ping(b"2"), Pause(), text(b"c"))
    answers = (echo(b"a"), ponged(b"1"), echo(b"b"), ponged(b"2"), echo(b"c"))
    yield Case("1.5.1", "5.2", "texts and pings in two writes", (*script, *answers))
    yield Case("1.5.2", "5.2", "texts and pings, one octet per write", (*script, *answers), 1)
    yield Case("1.5.3", "5.2", "texts and pings, three octets per write", (*script, *answers), 3)


CASES = (
    *_lengths(),
    *_length_fields(),
    *_masks(),
    *_pauses(),
    *_reserved_bits(),
    *_opcodes(),
    *_first_octets(),
)
