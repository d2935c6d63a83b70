"""The client's header, as the server gets it, and the end tag that matches it."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.parsers import expat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.xmpp.framing.examples import OLD_STROPHE, OPEN, STANZAS_NS, framing_of
from wsgw.errors import SessionError
from wsgw.stanzas.parser import STREAMS, attribute
from wsgw.stanzas.start_tag import parse_opening
from wsgw.xmpp.choice import choose_framing
from wsgw.xmpp.framing import Rfc7395Framing
from wsgw.xmpp.header import starttls_header


@pytest.mark.rule("7395-3.4-attributes")
def test_every_attribute_of_open_reaches_the_server() -> None:
    """RFC 6120 section 4.7, in their order; the declarations of their prefixes are included."""
    message = (
        b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' xmlns:x='urn:x' xmlns:unused='urn:u' "
        b"to='example.org' from='alice@example.org' version='1.0' xml:lang='de' id='7' unknown='u' x:y='z'/>"
    )
    assert framing_of(message).upstream_header == (
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
        b"xmlns:stream='http://etherx.jabber.org/streams' xmlns:x='urn:x' to='example.org' "
        b"from='alice@example.org' version='1.0' xml:lang='de' id='7' unknown='u' x:y='z'>"
    )


def test_a_prefixed_open_leaves_no_trace_of_its_prefix() -> None:
    message = OPEN.replace(b"<open xmlns=", b"<f:open xmlns='urn:y' xmlns:f=")
    assert framing_of(message).upstream_header == framing_of(OPEN).upstream_header


@pytest.mark.rule("fault-14")
def test_values_are_escaped() -> None:
    assert attribute("a", "'\"<>&\t\n\r€") == " a='&apos;&quot;&lt;&gt;&amp;&#9;&#10;&#13;€'"
    message = OPEN.replace(b"example.org", b"&apos;/&gt;&lt;a b=&quot;&amp;amp;&#10;")
    header = framing_of(message).upstream_header
    assert b" to='&apos;/&gt;&lt;a b=&quot;&amp;amp;&#10;' version='1.0'>" in header


def test_a_legacy_header_reaches_the_server_unchanged_as_an_open_tag() -> None:
    for end in (b" />", b"/>", b"\n/>", b">"):
        framing = framing_of(OLD_STROPHE.replace(b" />", end))
        assert framing.upstream_header == b"<?xml version='1.0'?>" + OLD_STROPHE.replace(b" />", b">")
        assert framing.client_root.startswith(b"<root xmlns")
    closed = OLD_STROPHE.replace(b" />", b"></stream:stream>")
    assert framing_of(closed).upstream_header == b"<?xml version='1.0'?>" + OLD_STROPHE.replace(b" />", b">")
    slash = OLD_STROPHE.replace(b"to='example.org'", b"to='a/'")
    assert b"to='a/'" in framing_of(slash).upstream_header


def test_a_restart_takes_the_new_header() -> None:
    rfc7395, legacy = framing_of(OPEN), framing_of(OLD_STROPHE)
    rfc7395.restart(parse_opening(OPEN.replace(b"to=", b"from='a@b' to=")))
    assert b" from='a@b' to='example.org'" in rfc7395.upstream_header
    legacy.restart(parse_opening(b"<s:stream xmlns:s='http://etherx.jabber.org/streams' to='b'/>"))
    assert legacy.client_root == b"<root xmlns:s='http://etherx.jabber.org/streams'>"
    assert legacy.upstream_end == b"</s:stream>"
    header = b"<s:stream xmlns:s='http://etherx.jabber.org/streams' to='b'>"
    assert legacy.upstream_header == b"<?xml version='1.0'?>" + header


def test_the_text_of_a_declaration_inside_a_value_binds_nothing() -> None:
    header = b"""<stream:stream to="a xmlns='evil' b" xmlns:stream='http://etherx.jabber.org/streams'>"""
    root = framing_of(header).client_root
    assert root == b"<root xmlns:stream='http://etherx.jabber.org/streams'>"


def test_the_header_before_starttls_has_only_the_domain() -> None:
    """RFC 6120 section 5.3.1."""
    assert starttls_header("a'b") == (
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
        b"xmlns:stream='http://etherx.jabber.org/streams' to='a&apos;b' version='1.0'>"
    )


NO_PREFIX = b"<stream xmlns='http://etherx.jabber.org/streams' to='a'>"


@pytest.mark.parametrize(
    ("message", "end"),
    [
        (OPEN, b"</stream:stream>"),
        (OLD_STROPHE, b"</stream:stream>"),
        (NO_PREFIX, b"</stream>"),
        (NO_PREFIX.replace(b"<stream xmlns", b"<s:stream xmlns:s"), b"</s:stream>"),
    ],
)
def test_the_end_of_the_stream_matches_the_header(message: bytes, end: bytes) -> None:
    framing = framing_of(message)
    assert framing.upstream_end == end
    dialogue = framing.upstream_header + framing.upstream_error("policy-violation", "a < b") + end
    root = ElementTree.fromstring(dialogue)
    assert root.tag == f"{{{STREAMS}}}stream"
    assert root[0].tag == f"{{{STREAMS}}}error"
    assert [child.tag for child in root[0]] == [f"{{{STANZAS_NS}}}policy-violation", f"{{{STANZAS_NS}}}text"]
    assert root[0][1].text == "a < b"


@pytest.mark.parametrize(
    ("message", "is_end"),
    [
        (b"</stream:stream>", True),
        (b"</stream:stream >\r\n", True),
        (b"</stream:stream", False),
        (b"</stream:streams>", False),
        (b"</stream:streamx", False),
        (b"</stream>", False),
        (b"</stream:stream>>", False),
        (b"<stream:stream>", False),
        (b"</>", False),
        (b"", False),
    ],
)
def test_an_end_tag_of_the_headers_name_is_the_end_in_legacy_framing(message: bytes, is_end: bool) -> None:
    assert framing_of(OLD_STROPHE).is_end(message) is is_end
    assert framing_of(OPEN).is_end(message) is False, "RFC 7395 ends with <close/>"


_ends = st.lists(
    st.sampled_from(
        ["</", "stream:stream", "s:stream", "stream", " ", "\n", "\r\t", ">", "/>", "\x0b", "\x0c", "a='b'"]
    ),
    min_size=3,
    max_size=6,
)


@example(["</", "stream:stream", "\n", ">", " "], OLD_STROPHE)
@example(["</", "stream", "\x0c", ">"], NO_PREFIX)
@given(_ends, st.sampled_from([OLD_STROPHE, NO_PREFIX]))
def test_the_end_is_recognised_as_the_parser_recognises_it(parts: list[str], header: bytes) -> None:
    message = "".join(parts).encode()
    parser = expat.ParserCreate("utf-8")
    ended: list[str] = []
    parser.EndElementHandler = ended.append
    parser.Parse(header.replace(b" />", b">"))
    try:
        parser.Parse(message, True)
        is_end = len(ended) == 1 and message.startswith(b"</")
    except expat.ExpatError:
        is_end = False
    assert framing_of(header).is_end(message) is is_end


_openings = st.builds(
    lambda name, parts, end: (f"<{name} " + " ".join(parts) + end).encode(),
    st.sampled_from(["open", "stream:stream", "s:open", "stream", "x:y"]),
    st.lists(
        st.sampled_from([
            "xmlns='urn:ietf:params:xml:ns:xmpp-framing'", "xmlns:stream='http://etherx.jabber.org/streams'",
            "xmlns='http://etherx.jabber.org/streams'", "xmlns:s='urn:ietf:params:xml:ns:xmpp-framing'",
            "to='a'", "to=\"'&#10;&lt;&#x20ac;\"", "xml:lang='en'", "stream:a='b'", "s:c='d'",
            "xmlns:xml='u'", "x:y='z'", "xmlns:x='urn:x y'", "xmlns:x='urn:&quot;'", "version='1.0'",
            "id='&x;'",
        ]),
        unique_by=lambda part: part.partition("=")[0],
        max_size=8,
    ),
    st.sampled_from(["/>", ">", " />", "></open>", "></stream:stream>", ">x", "", "/>x"]),
)  # fmt: skip


@given(_openings)
def test_any_opening_gives_a_header_that_can_be_read_or_a_documented_error(message: bytes) -> None:
    condition = ""
    try:
        opening = parse_opening(message)
        framing = choose_framing(opening)
    except SessionError as error:
        condition = error.condition
    if condition:
        assert condition in ("not-well-formed", "restricted-xml", "invalid-namespace", "bad-format")
        return
    root = ElementTree.fromstring(framing.upstream_header + framing.upstream_end)
    assert root.tag == f"{{{STREAMS}}}stream"
    assert {value for _, value in opening.attributes} == set(root.attrib.values())
    assert expat.ParserCreate().Parse(framing.client_root) == 1
    header = framing.upstream_header.removeprefix(b"<?xml version='1.0'?>")
    if isinstance(framing, Rfc7395Framing):
        answer = framing.server_header(header)
        assert set(ElementTree.fromstring(answer).attrib.values()) == set(root.attrib.values())
