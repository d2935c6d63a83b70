"""Family 2: pings and pongs (RFC 6455 sections 5.5.2 and 5.5.3)."""

from __future__ import annotations

from tests.conformance.script import Case, Frame, Raw, close, closed, echo, fails, ping, pong, ponged, text

_OCTETS = bytes((0x00, 0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0x00, 0xFF))
_TEN = tuple(b"payload-%d" % number for number in range(10))


def _ping(number: int, title: str, payload: bytes, chop: int = 0) -> Case:
    return Case(f"2.{number}", "5.5.2", title, (ping(payload), ponged(payload)), chop)


def _too_long(number: int, title: str, frame: Frame) -> Case:
    return Case(f"2.{number}", "5.5", title, (frame, fails()))


CASES = (
    _ping(1, "empty ping", b""),
    _ping(2, "ping with text", b"Hello, world!"),
    _ping(3, "ping with octets that are not UTF-8", _OCTETS),
    _ping(4, "ping of 125 octets", b"\xfe" * 125),
    _too_long(5, "ping of 126 octets", ping(b"\xfe" * 126)),
    _ping(6, "ping of 125 octets, one octet per write", b"\xfe" * 125, 1),
    Case("2.7", "5.5.3", "unsolicited empty pong", (pong(), text(b"x"), echo(b"x"))),
    Case("2.8", "5.5.3", "unsolicited pong with payload", (pong(b"unsolicited"), text(b"x"), echo(b"x"))),
    Case("2.9", "5.5.3", "unsolicited pong, then a ping", (pong(b"unsolicited"), ping(b"p"), ponged(b"p"))),
    Case("2.10", "5.5.2", "ten pings in one write", (*map(ping, _TEN), *map(ponged, _TEN))),
    Case("2.11", "5.5.2", "ten pings, one octet per write", (*map(ping, _TEN), *map(ponged, _TEN)), 1),
    _too_long(12, "ping of 65536 octets, refused before they arrive", Frame(0x9, withheld=65536)),
    _too_long(13, "pong of 126 octets", pong(b"\xfe" * 126)),
    Case("2.14", "5.5.3", "pong of 125 octets", (pong(b"\xfe" * 125), ping(), ponged())),
    Case("2.15", "5.5.2", "ping, then Close in the same write",
         (ping(b"last"), close(), ponged(b"last"), closed())),
    Case("2.16", "5.5", "ping of 126 octets, by its first two octets", (Raw(b"\x89\xfe"), fails())),
)  # fmt: skip
