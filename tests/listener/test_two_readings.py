"""Heads that two parsers may read in two ways (RFC 9112 section 11)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.listener.heads import GOOD, PLAIN, answer, request
from tests.support.gateway import Gateway


def smuggled(lines: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """A request with a part that must not be ignored."""
    good = request(*lines)
    for name, byte in (("CR", b"\r"), ("NUL", b"\0")):
        for place in (
            b"ET /ws",
            b"/ws-xmpp",
            b" HTTP",
            b"/1.1",
            b"ost:",
            b" localhost",
            b"\r\nConn",
        ):
            yield f"{name} before {place!r}", good.replace(place, byte + place, 1)
        yield f"{name} before the empty line", good[:-2] + byte + b"\r\n"
        yield f"{name} in a further field", good[:-2] + b"X: a" + byte + b"Y: b\r\n\r\n"
        yield f"{name} alone in a further line", good[:-2] + byte + b"X: a\r\n\r\n"
    for number, line in enumerate(lines):
        yield f"LF ends line {number}", good.replace(line.encode() + b"\r\n", line.encode() + b"\n")
        yield f"white space before line {number}", good.replace(line.encode(), b" " + line.encode())
        yield f"tab before line {number}", good.replace(line.encode(), b"\t" + line.encode())
    yield "LF for the empty line", good[:-2] + b"\n"
    yield "all lines end with LF", good.replace(b"\r\n", b"\n")
    yield "an obsolete fold", good[:-2] + b"X: a\r\n b\r\n\r\n"
    yield "an envelope", good.replace(b"Host", b"From localhost\r\nHost")
    yield "an envelope with a colon", good.replace(b"Host", b"From local: host\r\nHost")
    for space in (b"\t", b"  ", b"\x0b", b"\x0c", b"\xa0", b"\x85", b"\x1c"):
        yield f"{space!r} in the request line", good.replace(b" HTTP", space + b"HTTP", 1)
    yield "white space after the request line", good.replace(b"1.1\r", b"1.1 \r", 1)
    yield "two empty lines before", b"\r\n\r\n" + good
    yield "an empty line of LF before", b"\n" + good
    yield "white space in the line before", b" \r\n" + good
    for value in ("0, 0", "+0", "-0", "0_0", "0x0", "", "0 0", "0;", "\xb2", "1e1", "0.0", '"0"'):
        yield f"Content-Length: {value}", request(*lines, f"Content-Length: {value}")
    for first, second in (("0", "0"), ("0", "5"), ("5", "5")):
        both = f"Content-Length: {first}", f"content-length: {second}"
        yield f"Content-Length {first} and {second}", request(*lines, *both)
    for name in ("Content-Length ", "Content-Length\t", "Transfer-Encoding ", " Transfer-Encoding"):
        yield f"{name!r}", request(*lines, f"{name}: 0")
    for coding in ("chunked", "identity", "xchunked", "chunked, identity", "", "\x0bchunked"):
        yield f"Transfer-Encoding: {coding!r}", request(*lines, f"Transfer-Encoding: {coding}")
        both = f"Transfer-Encoding: {coding}", "Content-Length: 0"
        yield f"Transfer-Encoding: {coding!r} and a length", request(*lines, *both)


SMUGGLED = {
    f"{kind}, {fault}": head
    for kind, lines in (("upgrade", GOOD), ("plain", (*PLAIN, "Connection: Upgrade")))
    for fault, head in smuggled(lines)
}


@pytest.mark.rule("9112-2.2")
@pytest.mark.parametrize("head", SMUGGLED.values(), ids=SMUGGLED)
def test_a_head_with_two_readings_is_refused(edge: Gateway, head: bytes) -> None:
    got = answer(edge.ws_port, head)
    assert got.startswith(b"HTTP/1.1 400 Bad request"), got
    assert got.count(b"HTTP/1.1 400 ") == 1
