"""The reader alone: every split point, the order of events, limits."""

from __future__ import annotations

from xml.etree.ElementTree import Element, tostring

import pytest

from tests.demo.raw_client import END, HEADER
from wsgw.demo.xml_reader import StreamClosed, StreamOpened, StreamReader
from wsgw.errors import StreamError

STANZAS = (
    "<message to='a@b' title=\"x > 'y'\">"
    "<body>ä😀&#x1F600;&amp;&lt;<![CDATA[</body>]] > ]]>&gt;</body></message>"
    "<presence/> \n"
    "<iq\ttype = 'get'\nid='1'><q xmlns='x:y'><e/>tail<e></e></q></iq>\n"
).encode()
WHOLE = HEADER + b" " + STANZAS + END


def describe(events: object) -> list[str]:
    described = []
    for event in events:  # type: ignore[attr-defined]
        if isinstance(event, Element):
            described.append(tostring(event, encoding="unicode"))
        else:
            described.append(repr(event))
    return described


EXPECTED = describe(StreamReader(10_000).feed(WHOLE))


def test_a_whole_stream_gives_its_events() -> None:
    assert len(EXPECTED) == 5
    opened = next(StreamReader(10_000).feed(WHOLE))
    assert isinstance(opened, StreamOpened)
    assert opened.tag == "{http://etherx.jabber.org/streams}stream"
    assert opened.attributes == {"to": "localhost", "version": "1.0"}
    assert opened.default_namespace == "jabber:client"
    assert EXPECTED[-1] == repr(StreamClosed())
    assert "ä😀😀&amp;&lt;&lt;/body&gt;]] &gt; &gt;" in EXPECTED[1]


@pytest.mark.parametrize("split", range(len(WHOLE) + 1))
def test_every_split_point_gives_the_same_events(split: int) -> None:
    reader = StreamReader(10_000)
    events = describe(reader.feed(WHOLE[:split]))
    assert events + describe(reader.feed(WHOLE[split:])) == EXPECTED


@pytest.mark.parametrize(
    "stanza", [b"<presence/>", b"<iq><a>b</a></iq>", b"<message a='>'></message >", b"<m>x]]&gt;</m>"]
)
def test_a_stanza_comes_at_its_last_byte(stanza: bytes) -> None:
    reader = StreamReader(10_000)
    list(reader.feed(HEADER))
    for index in range(len(stanza) - 1):
        assert list(reader.feed(stanza[index : index + 1])) == []
    assert len(list(reader.feed(stanza[-1:]))) == 1


def test_forbidden_markup_is_found_at_its_first_bytes() -> None:
    for data in (b"<!-", b"<!D", b"<?x", b"<message><?", b"<message>text<!E"):
        reader = StreamReader(10_000)
        list(reader.feed(HEADER))
        with pytest.raises(StreamError, match="restricted-xml"):
            list(reader.feed(data))


def test_a_declaration_is_allowed_only_at_the_start() -> None:
    reader = StreamReader(10_000)
    with pytest.raises(StreamError, match="restricted-xml"):
        list(reader.feed(b"<?xml version='1.0'?><?xml version='1.0'?>" + HEADER))
    reader = StreamReader(10_000)
    list(reader.feed(HEADER))
    with pytest.raises(StreamError, match="restricted-xml"):
        list(reader.feed(b"<?xml version='1.0'?>"))


def test_a_reset_leaves_the_unparsed_bytes() -> None:
    reader = StreamReader(10_000)
    kinds = []
    for event in reader.feed(HEADER + b"<auth/>" + HEADER + b"<iq/>"):
        kinds.append(type(event))
        if isinstance(event, Element) and event.tag.endswith("auth"):
            reader.reset()
    assert kinds == [StreamOpened, Element, StreamOpened, Element]


def test_the_limit_is_for_one_stanza() -> None:
    """Many stanzas in one chunk pass; a stanza with one byte more does not."""
    reader = StreamReader(300)
    list(reader.feed(HEADER))
    stanza = b"<m>" + b"x" * 293 + b"</m>"
    assert len(stanza) == 300
    assert len(list(reader.feed((stanza + b" ") * 20))) == 20
    with pytest.raises(StreamError, match="policy-violation"):
        list(reader.feed(stanza.replace(b"x", b"xx", 1)))


def test_keepalives_do_not_count_together() -> None:
    reader = StreamReader(300)
    list(reader.feed(HEADER))
    for _ in range(1000):
        assert list(reader.feed(b" \n")) == []
    assert len(list(reader.feed(b"<m/>"))) == 1


def test_the_depth_is_limited() -> None:
    reader = StreamReader(10_000)
    list(reader.feed(HEADER))
    assert len(list(reader.feed(b"<a>" * 99 + b"</a>" * 99))) == 1
    with pytest.raises(StreamError, match="policy-violation"):
        list(reader.feed(b"<a>" * 100))


@pytest.mark.timeout(20)
def test_hostile_input_takes_linear_time() -> None:
    for data in (
        b"<a " + b"b='c' " * 40_000,
        b"<a " + b"='" * 100_000,
        b"<" * 200_000,
        b"<a>" + b">" * 200_000,
        b"<a" + b" ='" * 60_000,
    ):
        reader = StreamReader(262_144)
        list(reader.feed(HEADER))
        list(reader.feed(data))
