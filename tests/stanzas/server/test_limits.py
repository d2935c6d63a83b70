"""Stanzas and headers above the limit of their size."""

from __future__ import annotations

import pytest

from tests.stanzas.server.dialogues import EJABBERD_HEADER, LIMIT, MESSAGE, cut, events_of
from wsgw.stanzas.server import ServerStream

SHORT = b"<message id='next'/>"
_FROM = b"<message from='a@b'"
OVER = {
    "text": _FROM + b"><body>" + b"x" * LIMIT + b"</body></message>",
    "its tag": _FROM + b" a='" + b"x" * LIMIT + b"'/>",
    "its tag, with content": _FROM + b" a='" + b"x" * LIMIT + b"'><a/></message>",
    "another tag": _FROM + b"><a b='>" + b"x" * LIMIT + b"/>'/></message>",
    "elements": _FROM + b">" + b"<a/>" * LIMIT + b"</message>",
    "depth": _FROM + b">" + b"<message>" * LIMIT + b"</message>" * LIMIT + b"</message>",
    "CDATA": _FROM + b"><![CDATA[" + b"<a>]]</message>]]" * LIMIT + b"]]></message>",
    "text after a fault": _FROM + b"><p:a/>" + b"x" * LIMIT + b"<![CDATA[</message>]]></message>",
    "elements in a fault": _FROM + b"><p:a>" + b"<b/>" * LIMIT + b"</p:a ></message>",
    "one byte": _FROM + b">" + b"x" * (LIMIT - 29) + b"</message>",
}


@pytest.mark.parametrize("data", OVER.values(), ids=OVER)
def test_a_stanza_above_the_limit_becomes_its_own_tag(data: bytes) -> None:
    rest = b" " + SHORT
    for chunks in (
        [data + rest],
        *(cut(data + rest, list(range(0, len(data), step))) for step in (1, 9, 90)),
    ):
        stream = ServerStream(LIMIT)
        stream.feed(EJABBERD_HEADER)
        assert events_of(stream, chunks) == [(MESSAGE, b"<message from='a@b'/>"), (MESSAGE, SHORT)]
        assert stream.failure is None
        assert [(set(repair.reasons), repair.sender) for repair in stream.repairs] == [({"size"}, "a@b")]
        assert stream.at_border


@pytest.mark.parametrize("data", list(OVER.values())[:-1], ids=list(OVER)[:-1])
def test_other_elements_above_the_limit_end_the_stream(data: bytes) -> None:
    data = data.replace(b"message", b"r")
    for chunks in ([data], cut(data, list(range(0, len(data), 9))), cut(data, list(range(len(data))))):
        stream = ServerStream(LIMIT)
        stream.feed(EJABBERD_HEADER)
        assert events_of(stream, chunks) == []
        assert stream.failure is not None


def test_a_stanza_of_exactly_the_limit_passes() -> None:
    stanza = b"<message>" + b"x" * (LIMIT - 19) + b"</message>"
    assert len(stanza) == LIMIT
    for chunks in ([stanza * 3], cut(stanza * 3, list(range(3 * LIMIT)))):
        stream = ServerStream(LIMIT)
        stream.feed(EJABBERD_HEADER)
        assert [event for chunk in chunks for event in stream.feed(chunk)] == [(MESSAGE, stanza)] * 3
        assert stream.failure is None


def test_a_header_above_the_limit_ends_the_stream() -> None:
    stream = ServerStream(LIMIT)
    stream.feed(b"<stream:stream a='" + b"x" * LIMIT)
    assert stream.failure is not None
    assert stream.failure.condition == "policy-violation"
