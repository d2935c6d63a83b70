"""Servers that break the rules: which error ends the stream, and which stanzas are delivered before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stanzas.server.dialogues import EJABBERD_HEADER, MESSAGE, XML, cut
from tests.support.outcomes import tokens_with
from wsgw.stanzas.cutter import STREAM_END
from wsgw.stanzas.parser import STREAM, expanded_name
from wsgw.stanzas.server import ServerStream

NOT_XMPP = {
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not-well-formed"),
    "HTTP and a page": (b"HTTP/1.1 400 Bad Request\r\n\r\n<html></html>", "not-well-formed"),
    "a TLS alert": (b"\x15\x03\x01\x00\x02\x02\x46", "not-well-formed"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", "not-well-formed"),
    "a byte order mark (11.6)": (b"\xef\xbb\xbf" + EJABBERD_HEADER, "not-well-formed"),
    "UTF-16": (EJABBERD_HEADER.decode().encode("utf-16"), "not-well-formed"),
    "text after the declaration": (XML + b"x" + EJABBERD_HEADER, "not-well-formed"),
    "HTML": (b"<html><body>", "invalid-namespace"),
    "a document type": (b"<!DOCTYPE html><html>", "restricted-xml"),
    "a document type after the declaration": (XML + b"<!DOCTYPE stream:stream>", "restricted-xml"),
    "a comment": (b"<!-- x -->", "restricted-xml"),
    "another namespace (4.8.1)": (b"<stream xmlns='jabber:client'>", "invalid-namespace"),
    "another root": (EJABBERD_HEADER.replace(b"<stream:stream", b"<stream:features"), "invalid-namespace"),
    "an end tag": (b"</stream:stream>", "not-well-formed"),
    "an undeclared prefix": (b"<stream:stream>", "not-well-formed"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "condition"), NOT_XMPP.values(), ids=NOT_XMPP)
def test_bytes_that_are_no_xmpp_stream_are_an_error(data: bytes, condition: str) -> None:
    for chunks in ([data], cut(data, list(range(len(data))))):
        stream = ServerStream()
        assert [event for chunk in chunks for event in stream.feed(chunk)] == []
        assert stream.failure is not None
        assert stream.failure.condition == condition


BROKEN = {
    "mismatched tags": (b"<a></b>", "not-well-formed"),
    "the stream's end inside a stanza": (b"<a></stream:stream>", "not-well-formed"),
    "an attribute twice": (b"<a b='' b=''/>", "not-well-formed"),
    "'<' in an attribute": (b"<a b='<'/>", "not-well-formed"),
    "'<' and '>' in an attribute": (b"<a b='><'/>", "not-well-formed"),
    "']]>' in text": (b"<a>]]></a>", "not-well-formed"),
    "a bare ampersand": (b"<a>&</a>", "not-well-formed"),
    "an undeclared prefix": (b"<p:a/>", "not-well-formed"),
    "a control character": (b"<a>\x01</a>", "not-well-formed"),
    "bytes that are not UTF-8": (b"<a>\xff</a>", "not-well-formed"),
    "a NUL reference": (b"<a>&#0;</a>", "not-well-formed"),
    "an entity": (b"<a>&nbsp;</a>", "restricted-xml"),
    "a comment between stanzas": (b"<!-- x -->", "restricted-xml"),
    "a comment inside": (b"<a><!-- x --></a>", "restricted-xml"),
    "a comment, begun": (b"<!-", "restricted-xml"),
    "a document type": (b"<!DOCTYPE a>", "restricted-xml"),
    "a processing instruction": (b"<?a b?>", "restricted-xml"),
    "a processing instruction with a quote": (b"<?a don't?>", "restricted-xml"),
    "a processing instruction with '>' in it": (b"<a><?b c='>' d?></a>", "restricted-xml"),
    "a declaration inside a stanza": (b"<a><?xml version='1.0'?></a>", "restricted-xml"),
    "another root after a declaration": (XML + b"<html>", "invalid-namespace"),
}


@pytest.mark.parametrize(("data", "condition"), BROKEN.values(), ids=BROKEN)
def test_a_broken_stream_fails_after_delivering_the_stanzas_before(data: bytes, condition: str) -> None:
    before = EJABBERD_HEADER + b"<message/>"
    expected = [(STREAM, EJABBERD_HEADER), (MESSAGE, b"<message/>")]
    everything = before + data + b"<message/>"
    for chunks in ([before + data], [before, data], cut(before + data, list(range(500))), [everything]):
        stream = ServerStream()
        assert [event for chunk in chunks for event in stream.feed(chunk)] == expected
        assert stream.failure is not None
        assert stream.failure.condition == condition
        assert stream.feed(b"<message/>") == [], "nothing more is read"


@pytest.mark.rule("6120-11.7")
@pytest.mark.parametrize("text", [b"x", b" x ", b"<![CDATA[x]]>", b"&#120;", b"\xc2\xa0"])
@pytest.mark.parametrize("after", [b"", b"<b/>", b"</stream:stream>", EJABBERD_HEADER])
@pytest.mark.parametrize("before", [b"", b"<a/>", b"<a></a>"])
def test_text_between_stanzas_ends_the_stream(text: bytes, after: bytes, before: bytes) -> None:
    """Only white space is allowed there (11.7); the stanzas before are delivered, those after are not."""
    data = EJABBERD_HEADER + before + text + after
    for size in (1, 7, len(data)):
        stream = ServerStream()
        events = []
        for start in range(0, len(data), size):
            events += stream.feed(data[start : start + size])
        assert [name for name, _ in events] == [STREAM, expanded_name("jabber:client", "a")][
            : 2 if before else 1
        ]
        assert stream.failure is not None
        assert stream.failure.condition == "not-well-formed"


def test_no_bytes_may_follow_the_end_of_a_stream() -> None:
    stream = ServerStream()
    assert stream.feed(EJABBERD_HEADER + b"</stream:stream> \n")[-1] == (STREAM_END, b"")
    assert stream.failure is None
    assert stream.feed(b"<message/>") == []
    assert stream.failure is not None


@given(
    st.lists(st.sampled_from(tokens_with(EJABBERD_HEADER)), max_size=8).map(b"".join),
    st.lists(st.integers(0, 400), max_size=5),
)
def test_any_tokens_in_any_chunks_have_one_outcome(data: bytes, places: list[int]) -> None:
    """The same stanzas; in pieces an error may be found later, and then be another error."""
    data = EJABBERD_HEADER + data
    streams = []
    for chunks in ([data], cut(data, places), cut(data, list(range(len(data))))):
        stream = ServerStream()
        streams.append(([event for chunk in chunks for event in stream.feed(chunk)], stream.failure))
    assert [events for events, _ in streams] == [streams[0][0]] * 3
    conditions = {failure.condition for _, failure in streams if failure}
    assert conditions <= {"not-well-formed", "restricted-xml", "invalid-namespace"}
