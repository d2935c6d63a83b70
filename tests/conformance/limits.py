"""Family 9: large messages, small pieces, many messages, the limit (RFC 6455 sections 5.2, 5.4 and 10.4)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance.script import BINARY, TEXT, Case, Frame, Raw, Sized, Step, echo_sized, text, too_big

KIB, MIB = 1024, 1024 * 1024
#: The limit that both servers get.
LIMIT = 16 * MIB
_ROUND_TRIPS = 1000

_KINDS = ((TEXT, "text"), (BINARY, "binary"))


def _size(size: int) -> str:
    if size >= MIB:
        return f"{size // MIB} MiB"
    return f"{size // KIB} KiB" if size >= KIB else f"{size} octets"


def _whole() -> Iterator[Case]:
    sizes = (64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB)
    for group, (opcode, name) in enumerate(_KINDS, 1):
        for number, size in enumerate(sizes, 1):
            message = Sized(opcode, size)
            script = (message, echo_sized(message))
            title = f"{name} of {_size(size)} in one frame"
            yield Case(f"9.{group}.{number}", "5.2", title, script)


def _fragmented() -> Iterator[Case]:
    fragments = (64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB)
    for group, (opcode, name) in enumerate(_KINDS, 3):
        for number, fragment in enumerate(fragments, 1):
            message = Sized(opcode, 4 * MIB, fragment)
            title = f"{name} of 4 MiB in fragments of {_size(fragment)}"
            yield Case(f"9.{group}.{number}", "5.4", title, (message, echo_sized(message)))


def _chopped() -> Iterator[Case]:
    for group, (opcode, name) in enumerate(_KINDS, 5):
        for number, chop in enumerate((64, 128, 256, 512, KIB, 2 * KIB), 1):
            message = Sized(opcode, MIB)
            title = f"{name} of 1 MiB in writes of {_size(chop)}"
            yield Case(f"9.{group}.{number}", "5.2", title, (message, echo_sized(message)), chop)


def _round_trips() -> Iterator[Case]:
    for group, (opcode, name) in enumerate(_KINDS, 7):
        for number, size in enumerate((0, 16, 64, 256, KIB, 4 * KIB), 1):
            message = Sized(opcode, size)
            script: tuple[Step, ...] = (message, echo_sized(message)) * _ROUND_TRIPS
            title = f"{_ROUND_TRIPS} {name} messages of {_size(size)}, one after the other"
            yield Case(f"9.{group}.{number}", "5.2", title, script)


def _limit() -> Iterator[Case]:
    def case(number: int, title: str, *script: Step) -> Case:
        return Case(f"9.9.{number}", "10.4", title, (*script, too_big()))

    whole = Sized(TEXT, LIMIT, 4 * MIB)
    yield Case("9.9.1", "10.4", "exactly the limit, in four fragments", (whole, echo_sized(whole)))
    yield case(2, "one octet above the limit, refused before a payload comes", text(b"", withheld=LIMIT + 1))
    yield case(3, "the longest length there is", Frame(TEXT, length=b"\x7f\x7f" + b"\xff" * 7))
    begun = text(b"*" * 4 * KIB, fin=False)
    rest = Frame(0, withheld=LIMIT)
    yield case(4, "a second fragment that would exceed the limit", begun, rest)
    first = text(b"*" * 1000, fin=False, withheld=LIMIT - 999)
    yield case(5, "a first fragment that would exceed the limit", first)
    length = Raw(b"\x81\xff" + (LIMIT + 1).to_bytes(8, "big"))
    yield case(6, "one octet above the limit, refused at its length, before the mask", length)


CASES = (*_whole(), *_fragmented(), *_chopped(), *_round_trips(), *_limit())
