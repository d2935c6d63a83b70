"""Families 5 and 10: fragments, frames between them, automatic fragmentation (RFC 6455 section 5.4)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance.script import (
    BINARY,
    TEXT,
    Case,
    Frame,
    Pause,
    Raw,
    Sized,
    Step,
    binary,
    echo,
    echo_sized,
    fails,
    fragments,
    more,
    ping,
    pong,
    ponged,
    text,
)

_PIECES = (b"fragment1", b"fragment2")
_WHOLE = b"".join(_PIECES)
_FIVE = (b"fragment1", b"fragment2", b"fragment3", b"fragment4", b"fragment5")


def _case(number: int, title: str, *script: Step, section: str = "5.4", chop: int = 0) -> Case:
    return Case(f"5.{number}", section, title, script, chop)


def _written(frames: tuple[Frame, ...]) -> tuple[Step, ...]:
    """Each frame in a separate write."""
    return tuple(step for frame in frames for step in (frame, Pause()))


def _fragmented_control() -> Iterator[Case]:
    yield _case(
        1, "ping in two fragments", ping(b"a", fin=False), more(b"b", fin=True), fails(), section="5.5"
    )
    yield _case(
        2, "pong in two fragments", pong(b"a", fin=False), more(b"b", fin=True), fails(), section="5.5"
    )


def _two_fragments() -> Iterator[Case]:
    first, last = frames = fragments(*_PIECES)
    yield _case(3, "text in two fragments", *frames, echo(_WHOLE))
    yield _case(4, "text in two fragments, one write each", *_written(frames), echo(_WHOLE))
    yield _case(5, "text in two fragments, one octet per write", *frames, echo(_WHOLE), chop=1)
    script = (first, ping(b"between"), last, ponged(b"between"), echo(_WHOLE))
    yield _case(6, "ping between two fragments", *script)
    alone = (first, ping(b"between"), ponged(b"between"), last, echo(_WHOLE))
    yield _case(7, "ping between two fragments, its pong before the second", *alone)
    yield _case(8, "ping between two fragments, one octet per write", *script, chop=1)


def _lone_continuations() -> Iterator[Case]:
    good = text(b"Hello")
    for number, fin in ((9, True), (12, False)):
        frame, name = more(b"lone", fin=fin), "last" if fin else "unfinished"
        yield _case(number, f"{name} continuation without a message, a text after it", frame, good, fails())
        separately = (*_written((frame,)), good, fails())
        yield _case(number + 1, f"{name} continuation without a message, one write each", *separately)
        title = f"{name} continuation without a message, one octet per write"
        yield _case(number + 2, title, frame, good, fails(), chop=1)
    after: tuple[Step, ...] = (*fragments(*_PIECES), more(b"more"), text(b"x"), echo(_WHOLE), fails())
    yield _case(15, "continuation after the last fragment", *after)
    for number, fin in ((16, False), (17, True)):
        twice: tuple[Step, ...] = (more(b"lone", fin=fin), *fragments(*_PIECES)) * 2
        name = "last" if fin else "unfinished"
        yield _case(
            number, f"{name} continuation without a message before a valid text, twice", *twice, fails()
        )
    yield _case(
        18, "two text frames as the fragments of one message", text(b"a", fin=False), text(b"b"), fails()
    )


def _five_fragments() -> Iterator[Case]:
    one, two, three, four, five = fragments(*_FIVE)
    script = (one, two, ping(b"pongme 1"), three, four, ping(b"pongme 2"), five)
    answers = (ponged(b"pongme 1"), ponged(b"pongme 2"), echo(b"".join(_FIVE)))
    yield _case(19, "five fragments, two pings between", *script, *answers)
    yield _case(20, "five fragments, two pings between, one write each", *_written(script), *answers)
    yield _case(21, "five fragments, two pings between, one octet per write", *script, *answers, chop=1)
    stepwise = (one, two, ping(b"1"), ponged(b"1"), three, four, ping(b"2"), ponged(b"2"), five, answers[-1])
    yield _case(22, "five fragments, each ping answered before the next", *stepwise)


def _interleaved() -> Iterator[Case]:
    begun = text(b"a", fin=False)
    yield _case(23, "binary frame inside a fragmented text", begun, binary(b"b"), fails())
    yield _case(24, "text frame inside a fragmented binary", binary(b"a", fin=False), text(b"b"), fails())
    yield _case(25, "unfinished text frame inside a fragmented text", begun, text(b"b", fin=False), fails())
    script: tuple[Step, ...] = (begun, pong(b"x"), more(b"b"), pong(), more(b"c", fin=True), echo(b"abc"))
    yield _case(26, "unsolicited pongs between fragments", *script)
    yield _case(27, "oversized ping between fragments", begun, ping(b"x" * 126), fails(), section="5.5")
    yield _case(28, "fragmented ping between fragments", begun, ping(b"x", fin=False), fails(), section="5.5")
    empty: tuple[Step, ...] = (
        text(b"", fin=False),
        more(b""),
        more(b"a"),
        more(b""),
        more(b"", fin=True),
        echo(b"a"),
    )
    yield _case(29, "empty fragments around one octet", *empty)
    two: tuple[Step, ...] = (*fragments(b"a", b"b"), *fragments(b"c", b"d"), echo(b"ab"), echo(b"cd"))
    yield _case(30, "two fragmented texts in one write", *two)
    yield _case(31, "two fragmented texts, one octet per write", *two, chop=1)
    many = fragments(*(b"%03d" % number for number in range(500)))
    whole = b"".join(b"%03d" % number for number in range(500))
    yield _case(32, "500 fragments in one write", *many, echo(whole))
    pinged = tuple(step for number, frame in enumerate(many[:50]) for step in (frame, ping(b"%d" % number)))
    answers = (ponged(b"%d" % number) for number in range(50))
    script = (*pinged, *many[50:], *answers, echo(whole))
    yield _case(33, "500 fragments, a ping after each of the first 50", *script)
    octets = bytes(range(256))
    pieces = fragments(octets, octets, octets, opcode=BINARY)
    yield _case(34, "binary in three fragments", *pieces, echo(octets * 3, BINARY))
    between: tuple[Step, ...] = (pieces[0], ping(b"x"), *pieces[1:], ponged(b"x"), echo(octets * 3, BINARY))
    yield _case(35, "binary in three fragments, a ping between", *between)


def _first_octets() -> Iterator[Case]:
    begun = text(b"a", fin=False)
    yield _case(36, "continuation without a message, refused at its first octet", Raw(b"\x00"), fails())
    yield _case(37, "fragmented ping, refused at its first octet", Raw(b"\x09"), fails(), section="5.5")
    yield _case(38, "text inside a fragmented text, refused at its first octet", begun, Raw(b"\x81"), fails())


def _automatic() -> Iterator[Case]:
    sizes = ((65536, 1300, 0), (65536, 1300, 1), (65537, 65536, 0), (65536, 1, 0), (200 * 1024, 131072, 0))
    for number, (size, fragment, pinged) in enumerate(sizes, 1):
        message = Sized(TEXT, size, fragment)
        script: tuple[Step, ...] = (message, echo_sized(message))
        title = f"text of {size} octets in fragments of {fragment}"
        if pinged:
            script, title = (
                (message, ping(b"x"), echo_sized(message), ponged(b"x")),
                f"{title}, a ping after it",
            )
        yield Case(f"10.1.{number}", "5.4", title, script)


CASES = (
    *_fragmented_control(),
    *_two_fragments(),
    *_lone_continuations(),
    *_five_fragments(),
    *_interleaved(),
    *_first_octets(),
    *_automatic(),
)
