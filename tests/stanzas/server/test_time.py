"""The time for a stream is linear in its length."""

from __future__ import annotations

import time

import pytest

from tests.stanzas.server.dialogues import EJABBERD_HEADER, KIB
from wsgw.stanzas.server import ServerStream

pytestmark = pytest.mark.perf


def seconds(data: bytes, size: int) -> float:
    """The least CPU time of three runs over ``data`` in pieces of ``size`` bytes."""
    best = float("inf")
    for _ in range(3):
        stream = ServerStream()
        begun = time.process_time()
        for start in range(0, len(data), size):
            stream.feed(data[start : start + size])
        best = min(best, time.process_time() - begun)
        assert stream.failure is None
    return best


#: The beginning of a long stanza, its repeated part, its end.
LONG = {
    "text": (b"<message><body>", b"x", b"</body></message>"),
    "text with '>' in it": (b"<message><body>", b"> ", b"</body></message>"),
    "an attribute value": (b"<message a='", b"x", b"'/>"),
    "an attribute value with '>' in it": (b"<message a='", b">", b"'/>"),
    "CDATA": (b"<message><![CDATA[", b"<a>", b"]]></message>"),
    "many elements": (b"<message>", b"<a>b</a>", b"</message>"),
    "deep elements": (b"<message>", b"<a>" * 100 + b"</a>" * 100, b"</message>"),
    "many stanzas": (b"", b"<message>b</message>", b""),
    "white space in a tag": (b"<message", b" ", b"/>"),
    "white space between stanzas": (b"", b" ", b"<message/>"),
}


def long_data(kind: str, size: int) -> bytes:
    start, repeated, end = LONG[kind]
    return EJABBERD_HEADER + start + repeated * (size // len(repeated)) + end


@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize(("piece", "size"), [(1, 8 * KIB), (64, 60 * KIB)])
def test_time_is_linear(kind: str, piece: int, size: int) -> None:
    """Eight times the bytes take about eight times as long; quadratic: sixty-four times."""
    assert seconds(long_data(kind, 8 * size), piece) < 3 * 8 * seconds(long_data(kind, size), piece)


def test_time_is_linear_in_a_header() -> None:
    def header(size: int) -> bytes:
        return b"<stream:stream a='" + b"x" * size + b"' xmlns:stream='http://etherx.jabber.org/streams'>"

    assert seconds(header(480 * KIB), 64) < 3 * 8 * seconds(header(60 * KIB), 64)
