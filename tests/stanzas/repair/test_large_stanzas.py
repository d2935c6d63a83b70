"""Stanzas above the bounds, and large stanzas, which have narrower bounds."""

from __future__ import annotations

from xml.parsers import expat

import pytest

from tests.stanzas.repair.feeding import ERROR, MIB, NEXT, UNREADABLE, fed, message, passed
from wsgw.stanzas.cutter import LARGE, SMALL, SMALL_SIZE, TAG_LIMIT

FILLING = b"<body>" + b"x" * SMALL_SIZE + b"</body>"


@pytest.mark.rule("xml-cost")
@pytest.mark.parametrize("first", [True, False])
def test_a_large_stanza_has_narrower_bounds(first: bool) -> None:
    """They hold for the whole stanza, also for the bytes read before it proved to be large."""
    depth = int(LARGE.depth) - 1
    for more in (0, 1, 5000):
        deep = b"<a>" * (depth + more) + b"</a>" * (depth + more)
        kept = b"<a>" * depth + b"</a>" * depth
        parts, expected = ([deep, FILLING], [kept, FILLING])
        if not first:
            parts, expected = parts[::-1], expected[::-1]
        assert passed(message(b"".join(parts))) == [message(b"".join(expected))], more
    names = [b"<n%d/>" % number for number in range(30_000)]
    crowd = [b"".join(names), FILLING]
    stream = fed(message(b"".join(crowd if first else crowd[::-1])))
    assert stream.failure is None
    result, following = stream.elements
    assert following == NEXT
    assert set(stream.repairs[0].reasons) == {"names"}
    known = result.count(b"<n")
    assert int(LARGE.names) - 20 < known <= int(LARGE.names)
    left = [b"".join(names[:known]), FILLING]
    # The name of the last element exceeds the bound, too.
    assert result == message(b"".join(left if first else left[::-1])).replace(b"<z/>", b"")


def test_a_large_stanza_within_its_bounds_passes_byte_for_byte() -> None:
    stanza = message(
        FILLING + b"<x xmlns='urn: '/>" + b"<a>" * 900 + b"</a>" * 900 + b"<p:b xmlns:p='u'/>" * 2000
    )
    assert passed(stanza) == [stanza]


@pytest.mark.slow
@pytest.mark.parametrize("bounds", ["depth", "names"])
def test_an_element_that_is_too_deep_may_be_long(bounds: str) -> None:
    """The fault begins while the stanza is small and ends when it is large."""
    depth = SMALL.depth + 200_000
    stanza = message(b"<a>" * depth + b"x" * SMALL_SIZE + b"</a>" * depth)
    kept = b"<a>" * (int(LARGE.depth) - 1) + b"</a>" * (int(LARGE.depth) - 1)
    assert passed(stanza) == [message(kept)]


@pytest.mark.rule("xml-stanza")
@pytest.mark.parametrize("where", ["its own tag", "another", "the text"])
def test_a_stanza_above_the_limit_becomes_its_own_tag(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    much = b"x" * 9 * MIB if where == "the text" else b"x" * (TAG_LIMIT + 1)
    for start, expected in (
        (b"<message from='m@b/c' type='groupchat'%s>", b"<message from='m@b/c' type='groupchat'/>"),
        (
            b"<iq from='m@b/c' id='1' type='get'%s>",
            b"<iq from='m@b/c' id='1' type='get'>" + UNREADABLE + b"</iq>",
        ),
        (
            b"<iq from='m@b/c' id='1' type='result'%s>",
            b"<iq from='m@b/c' id='1' type='error'>" + ERROR + b"</iq>",
        ),
    ):
        tag = start % (b" a='%s'" % much if where == "its own tag" else b"")
        content = {"its own tag": b"<a/>", "another": b"<a b='%s'/>" % much, "the text": much}[where]
        stanza = tag + content + b"</" + start[1:3].replace(b"me", b"message") + b">"
        assert passed(stanza) == [expected]
        assert [set(repair.reasons) for repair in fed(stanza).repairs] == [{"size"}]


def test_a_parser_without_memory_is_a_fault_of_the_stanza() -> None:
    """expat limits its memory by the size of its input; the gateway survives that limit too."""
    stream = fed(b"")
    stream.feed(b"<message from='m@b/c'><p:a/>")
    assert stream._repair is not None
    real = stream._repair._parser

    class Exhausted:
        ErrorByteIndex = 0

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def Parse(self, _data: bytes) -> None:
            real.Parse(b"")
            error = expat.ExpatError("out of memory")
            error.code = 1
            raise error

    stream._repair._parser = Exhausted()  # type: ignore[assignment]
    events = stream.feed(b"<b>" * 9)
    assert events == []
    events = stream.feed(b"</b>" * 9 + b"</message>" + NEXT)
    assert [element for _, element in events] == [b"<message from='m@b/c'/>", NEXT]
    assert [set(repair.reasons) for repair in stream.take_repairs()] == [{"memory"}]
