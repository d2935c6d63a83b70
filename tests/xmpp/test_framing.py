"""Two framings: the bytes that deployed clients depend on (RFC 7395, and the draft before it)."""

from __future__ import annotations

import re
import time
from xml.etree import ElementTree
from xml.parsers import expat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsgw.errors import SessionError
from wsgw.stanzas.parser import CLIENT, STREAMS, end_of_tag, parse_opening, without_declaration
from wsgw.xmpp import framing
from wsgw.xmpp.framing import (
    FRAMING,
    Framing,
    LegacyFraming,
    Rfc7395Framing,
    attribute,
    choose_framing,
    starttls_header,
    stream_error,
)

OPEN = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org' version='1.0'/>"
OLD_STROPHE = (
    b"<stream:stream to='example.org' xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams' version='1.0' />"
)
SERVER_HEADER = (
    b"<stream:stream id='1' version='1.0' xml:lang='en' "
    b"xmlns:stream='http://etherx.jabber.org/streams' from='example.org' xmlns='jabber:client'>"
)
STANZAS_NS = "urn:ietf:params:xml:ns:xmpp-streams"


def framing_of(message: bytes) -> Framing:
    return choose_framing(parse_opening(without_declaration(message)))


def answered(message: bytes = OPEN, header: bytes = SERVER_HEADER) -> Framing:
    """The framing of a client whose stream the server has opened."""
    framing = framing_of(message)
    framing.server_header(header)
    return framing


# -- which framing ---------------------------------------------------------------------------------

CHOICES = {
    "RFC 7395": (OPEN, "rfc7395"),
    "as Strophe writes it": (
        b'<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" to="example.org" version="1.0" />', "rfc7395",
    ),
    "with a line break": (OPEN.replace(b"<open ", b"<open\n"), "rfc7395"),
    "with an end tag": (OPEN.replace(b"/>", b"></open>"), "rfc7395"),
    "with a prefix": (OPEN.replace(b"<open xmlns=", b"<f:open xmlns:f="), "rfc7395"),
    "with a declaration (3.3.3)": (b"<?xml version='1.0'?>" + OPEN, "rfc7395"),
    "'>' in a value": (OPEN.replace(b" to=", b" x='>' to="), "rfc7395"),
    "legacy, self-closed (old Strophe)": (OLD_STROPHE, "legacy"),
    "legacy, left open (the draft)": (OLD_STROPHE.replace(b" />", b">"), "legacy"),
    "legacy, with a declaration": (b"<?xml version='1.0'?>" + OLD_STROPHE, "legacy"),
    "legacy, another prefix (RFC 6120 4.8.1)": (OLD_STROPHE.replace(b"stream:", b"s:").replace(
        b"xmlns:stream", b"xmlns:s"), "legacy"),
    "legacy, no prefix": (b"<stream xmlns='http://etherx.jabber.org/streams' to='a'>", "legacy"),
}  # fmt: skip


@pytest.mark.parametrize(("message", "name"), CHOICES.values(), ids=CHOICES)
def test_the_first_root_decides(message: bytes, name: str) -> None:
    assert framing_of(message).name == name


@pytest.mark.parametrize(
    ("message", "condition"),
    [
        (OPEN.replace(b"/>", b">"), "not-well-formed"),
        (b"<open xmlns='jabber:client' to='a'/>", "invalid-namespace"),
        (b"<open to='a'/>", "invalid-namespace"),
        (b"<open xmlns='%s'/>" % (b"x" * 5000), "invalid-namespace"),
        (b"<stream xmlns='jabber:client' to='a'/>", "invalid-namespace"),
        (b"<stream:stream xmlns:stream='urn:x' to='a'/>", "invalid-namespace"),
        (b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>", "bad-format"),
        (b"<message xmlns='jabber:client'/>", "bad-format"),
    ],
)
def test_what_opens_no_stream(message: bytes, condition: str) -> None:
    """RFC 7395 section 3.3.2: another namespace is ``invalid-namespace``."""
    with pytest.raises(SessionError) as caught:
        framing_of(message)
    assert caught.value.condition == condition
    assert len(caught.value.text) <= 200


# -- the client's header, for the server -----------------------------------------------------------


def test_every_attribute_of_open_reaches_the_server() -> None:
    """RFC 6120 section 4.7, in the order given; what a prefix is bound to comes along."""
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


def test_values_are_escaped() -> None:
    assert attribute("a", "'\"<>&\t\n\r€") == " a='&apos;&quot;&lt;&gt;&amp;&#9;&#10;&#13;€'"
    message = OPEN.replace(b"example.org", b"&apos;/&gt;&lt;a b=&quot;&amp;amp;&#10;")
    header = framing_of(message).upstream_header
    assert b" to='&apos;/&gt;&lt;a b=&quot;&amp;amp;&#10;' version='1.0'>" in header


def test_a_legacy_header_reaches_the_server_as_it_is_left_open() -> None:
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


def test_what_looks_like_a_declaration_inside_a_value_binds_nothing() -> None:
    header = b"""<stream:stream to="a xmlns='evil' b" xmlns:stream='http://etherx.jabber.org/streams'>"""
    root = framing_of(header).client_root
    assert root == b"<root xmlns:stream='http://etherx.jabber.org/streams'>"


def test_the_header_before_tls() -> None:
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
def test_what_ends_the_stream_fits_the_header(message: bytes, end: bytes) -> None:
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
def test_the_end_in_legacy_framing(message: bytes, is_end: bool) -> None:
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
def test_the_end_is_what_the_parser_takes_for_it(parts: list[str], header: bytes) -> None:
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


# -- the server's header, for the client -----------------------------------------------------------


def test_open_as_clients_expect_it() -> None:
    framing = framing_of(OPEN)
    message = framing.server_header(SERVER_HEADER)
    assert message == (
        b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' "
        b"id='1' version='1.0' xml:lang='en' from='example.org'/>"
    )


def test_open_carries_every_attribute_and_what_it_needs() -> None:
    header = SERVER_HEADER.replace(
        b" id='1'", b" id=\"&lt;'&quot;&amp;\" xmlns:x='urn:x' x:y=\"&#10;\" unknown=''"
    )
    framing = framing_of(OPEN)
    message = framing.server_header(header)
    assert message.startswith(b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' ")
    assert ElementTree.fromstring(message).attrib == {
        "id": "<'\"&",
        "{urn:x}y": "\n",
        "unknown": "",
        "version": "1.0",
        "{http://www.w3.org/XML/1998/namespace}lang": "en",
        "from": "example.org",
    }


def test_in_legacy_framing_the_servers_tag_passes_as_it_is() -> None:
    framing = framing_of(OLD_STROPHE)
    assert framing.server_header(SERVER_HEADER) == SERVER_HEADER


def test_a_header_in_the_gateways_own_name() -> None:
    """RFC 6120 section 4.9.1.2: an error during setup still follows an opening header."""
    own = framing_of(OPEN).own_header("a&b")
    pattern = rb"<open xmlns='%s' from='a&amp;b' id='[0-9a-f]{16}' version='1.0' xml:lang='en'/>"
    assert re.fullmatch(pattern % FRAMING.encode(), own)
    own = framing_of(OLD_STROPHE).own_header("a'b")
    pattern = rb"<stream:stream xmlns='%s' xmlns:stream='%s' from='a&apos;b' id='[0-9a-f]{16}' version='1.0'"
    assert re.fullmatch(pattern % (CLIENT.encode(), STREAMS.encode()) + rb" xml:lang='en'>", own)
    for message in (OPEN, OLD_STROPHE):
        assert b" from=" not in framing_of(message).own_header("")
        assert framing_of(message).own_header("") != framing_of(message).own_header(""), "ids differ"


# -- ends and errors -------------------------------------------------------------------------------


def test_close_is_the_string_that_strophe_compares() -> None:
    assert Rfc7395Framing.close == b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" />'
    assert LegacyFraming.close == b"</stream:stream>"


def test_close_may_send_elsewhere() -> None:
    """RFC 7395 section 3.6.1."""
    assert framing_of(OPEN).close_towards('wss://b/?c="&') == (
        b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" see-other-uri="wss://b/?c=&quot;&amp;" />'
    )
    assert framing_of(OLD_STROPHE).close_towards("wss://b/") == b"</stream:stream>"


def test_errors_in_the_gateways_own_name() -> None:
    children = (
        b"<host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
        b"<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>a &lt; b &amp; c</text>"
    )
    rfc7395 = (
        b'<stream:error xmlns:stream="http://etherx.jabber.org/streams">' + children + b"</stream:error>"
    )
    assert framing_of(OPEN).error("host-unknown", "a < b & c") == rfc7395
    assert framing_of(OLD_STROPHE).error("host-unknown", "a < b & c") == (
        b"<stream:error>" + children + b"</stream:error>"
    ), "old Strophe looks for the bare tag"
    assert stream_error("", "host-unknown", "a < b & c") == b"<error>" + children + b"</error>"


@pytest.mark.parametrize("message", [OPEN, OLD_STROPHE], ids=["rfc7395", "legacy"])
@pytest.mark.parametrize(
    ("element", "condition"),
    [
        (
            b"<stream:error><conflict xmlns='%s'/><text xmlns='%s'>Replaced</text></stream:error>",
            ("conflict", ""),
        ),
        (
            b"<stream:error><text xmlns='%s'>Bye</text>\n<shutdown xmlns='%s'></shutdown></stream:error>",
            ("shutdown", ""),
        ),
        (
            b"<stream:error><see-other-host xmlns='%s'>[2001:db8::1]:5222</see-other-host></stream:error>",
            ("see-other-host", "[2001:db8::1]:5222"),
        ),
        (
            b"<stream:error><!" + b"[CDATA[<conflict xmlns='%s'/>]]><s:see-other-host x='>' xmlns:s='%s'>"
            b"a&#46;b<![CDATA[>]]></s:see-other-host></stream:error>",
            ("see-other-host", "a.b>"),
        ),
        (
            b"<stream:error><x xmlns='urn:x'><conflict xmlns='%s'/></x></stream:error>",
            ("undefined-condition", ""),
        ),
        (b"<stream:error><x xmlns='urn:x'>y</x><reset xmlns='%s'/></stream:error>", ("reset", "")),
        (b"<stream:error><x xmlns='urn:x'/></stream:error>", ("undefined-condition", "")),
        (b"<stream:error/>", ("undefined-condition", "")),
    ],
)
def test_the_condition_of_a_servers_error(message: bytes, element: bytes, condition: tuple[str, str]) -> None:
    element = element.replace(b"%s", STANZAS_NS.encode())
    assert answered(message).condition(element) == condition


# -- declarations restored (RFC 7395 section 3.3.3) ------------------------------------------------

DEFAULT = b" xmlns='jabber:client'"
PREFIX = b' xmlns:stream="http://etherx.jabber.org/streams"'

#: In each, ``DEFAULT`` or ``PREFIX`` stands where it has to be inserted, and nowhere else.
RESTORED = {
    "an unqualified stanza": (b"<message", DEFAULT, b" to='a'><body>x</body></message>"),
    "an empty one": (b"<presence", DEFAULT, b"/>"),
    "a line break after the name": (b"<iq", DEFAULT, b"\n id='1'\n/>"),
    "no attribute": (b"<message", DEFAULT, b"><body/></message>"),
    "features, their prefix kept": (b"<stream:features", PREFIX, b"><bind xmlns='urn:b'/></stream:features>"),
    "empty features": (b"<stream:features", PREFIX, b"/>"),
    "an error": (b"<stream:error", PREFIX, b"><conflict xmlns='urn:c'/></stream:error>"),
    "a prefixed root with an unqualified child": (
        b"<stream:features", PREFIX + DEFAULT, b"><x/><y xmlns='urn:y'/></stream:features>",
    ),
    "a prefix used in a descendant only": (b"<message", PREFIX + DEFAULT, b"><stream:x/></message>"),
    "a prefix used in an attribute only": (b"<message", PREFIX + DEFAULT, b"><x stream:y=''/></message>"),
    "a prefix used in an attribute of the root": (b"<message", PREFIX + DEFAULT, b" stream:y=''/>"),
    "a prefix in a descendant of a qualified root": (b"<a", PREFIX, b" xmlns='urn:a'><stream:b/></a>"),
    "a prefix declared where it is used": (
        b"<message", DEFAULT, b"><stream:x xmlns:stream='http://etherx.jabber.org/streams'/></message>",
    ),
    "the same prefix bound to something else": (
        b"<message", DEFAULT, b"><stream:x xmlns:stream='urn:x'/></message>",
    ),
    "text that looks like a prefix": (b"<message", DEFAULT, b"><body>stream: stream:x</body></message>"),
    "text that looks like a declaration": (b"<message", DEFAULT, b"><body> xmlns='u' </body></message>"),
    "a value that looks like a declaration": (b"<message", DEFAULT, b" id=\" xmlns='u' \"/>"),
    "a value that looks like one, the other quotes": (b"<message", DEFAULT, b" id=' xmlns=\"u\" >'/>"),
    "xmlns in a child only": (b"<iq", DEFAULT, b" id='1'><query xmlns='jabber:iq:roster'/></iq>"),
    "a prefix declared on the root": (b"<message", DEFAULT, b" xmlns:x='urn:x'><x:y/></message>"),
    "an attribute whose name begins so": (b"<message", DEFAULT, b" xmlnsx='u'/>"),
    "CDATA that looks like everything": (
        b"<message", DEFAULT, b"><![CDATA[<stream:x xmlns='u'>]]></message>",
    ),
    "a declared default": (b"", b"", b"<message xmlns='jabber:client' to='a'/>"),
    "a declared default in other words": (b"", b"", b"<message to='>'\n xmlns\t=\r\n \"jabber:client\" />"),
    "another default": (b"", b"", b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
    "no namespace, on purpose": (b"", b"", b"<a xmlns=''/>"),
    "PyJabber's own prefixes": (
        b"", b"", b"<ns0:message xmlns:ns0='jabber:client'><ns0:body>x</ns0:body></ns0:message>",
    ),
    "features in the default namespace": (
        b"", b"", b"<features xmlns='http://etherx.jabber.org/streams'><bind xmlns='urn:b'/></features>",
    ),
    "features that declare their prefix themselves": (
        b"", b"", b"<stream:features xmlns:stream='http://etherx.jabber.org/streams'/>",
    ),
    "names beyond ASCII": ("<名".encode(), DEFAULT, " ä='€'/>".encode()),
}  # fmt: skip


@pytest.mark.parametrize(("name", "missing", "rest"), RESTORED.values(), ids=RESTORED)
def test_missing_declarations_are_inserted_in_the_root_tag(name: bytes, missing: bytes, rest: bytes) -> None:
    element = name + rest
    message = answered().stanza(element)
    assert message == name + missing + rest
    assert meaning(message) == meaning(SERVER_HEADER + element + b"</stream:stream>")[2][0]
    assert answered(OLD_STROPHE).stanza(element) == element, "legacy framing inserts nothing"


def meaning(document: bytes) -> tuple[str, object, list[object], str]:
    """(name, attributes, children, text): what a namespace-aware reader understands."""

    def of(element: ElementTree.Element) -> tuple[str, object, list[object], str]:
        return element.tag, dict(element.attrib), [of(child) for child in element], element.text or ""

    return of(ElementTree.fromstring(document))


def test_any_prefix_of_the_servers_header_is_restored() -> None:
    header = (
        b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client' "
        b"xmlns:db='jabber:server:dialback' xmlns:q='urn:&quot;&apos;&lt;'>"
    )
    framing = answered(header=header)
    assert framing.stanza(b"<s:features/>") == b'<s:features xmlns:s="http://etherx.jabber.org/streams"/>'
    assert framing.stanza(b"<db:x/>") == b'<db:x xmlns:db="jabber:server:dialback"/>'
    assert framing.stanza(b"<q:x/>") == b'<q:x xmlns:q="urn:&quot;&apos;&lt;"/>'
    assert framing.stanza(b"<message/>") == b"<message xmlns='jabber:client'/>"


def test_of_a_long_stanza_only_the_root_tag_is_read() -> None:
    """Other sessions wait meanwhile; to declare what may be used changes nothing."""
    rest = b"><b>stream:</b>" + b"<a/>" * 300_000
    declared = b" xmlns='jabber:client'"
    for tag, inserted in (
        (b"<message", PREFIX + declared),
        (b"<message xmlns='jabber:client'", PREFIX),
        (b"<message xmlns:stream='urn:x'", declared),
        (b"<stream:x xmlns='u'", PREFIX),
    ):
        name, _, attributes = tag.partition(b" ")
        attributes = attributes and b" " + attributes
        end = b"</" + name[1:] + b">"
        began = time.process_time()
        message = answered().stanza(tag + rest + end)
        assert time.process_time() - began < 0.1
        assert message == name + inserted + attributes + rest + end


def test_another_default_namespace_is_restored() -> None:
    framing = answered(header=b"<stream xmlns='http://etherx.jabber.org/streams'>")
    assert framing.stanza(b"<features/>") == b"<features xmlns='http://etherx.jabber.org/streams'/>"
    framing = answered(header=b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>")
    assert framing.stanza(b"<a/>") == b"<a/>", "never xmlns=''"
    assert framing.stanza(b"<stream:a><b/></stream:a>") == b"<stream:a" + PREFIX + b"><b/></stream:a>"


def test_a_restart_brings_the_new_headers_bindings() -> None:
    framing = answered()
    header = b"<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>"
    framing.server_header(header)
    assert framing.stanza(b"<s:features/>") == b'<s:features xmlns:s="http://etherx.jabber.org/streams"/>'


def _element(name: str, attributes: list[str], content: list[str]) -> str:
    return f"<{name}{''.join(attributes)}>{''.join(content)}</{name}>"


_names = st.sampled_from(["message", "stream:x", "p:y", "body"])
_attributes = st.lists(
    st.sampled_from(
        [
            " xmlns='jabber:client'",
            " xmlns:stream='urn:z'",
            " id=\" xmlns='u'\"",
            " p:a='stream:'",
            " xmlns=''",
        ]
    ),
    max_size=3,
    unique_by=lambda written: written.partition("=")[0],
)
_texts = st.sampled_from(["", "stream:x", " xmlns='u'", "p:", "&lt;p:x/>", "€"])
_stanzas = st.recursive(
    st.builds(_element, _names, _attributes, st.lists(_texts, max_size=1)),
    lambda inner: st.builds(_element, _names, _attributes, st.lists(inner, max_size=3)),
    max_leaves=6,
)


_spaces = st.sampled_from([" ", "\n", "\t ", "\r\n"])
_tags = st.builds(
    lambda name, parts, space, end: f"<{name}" + "".join(parts) + space + end,
    st.sampled_from(["a", "stream", "p:stream", "open", "xmlns", "p:xmlns", "\u540d", "a.b-c_d1"]),
    st.lists(
        st.builds(
            lambda space, name, before, after, value: f"{space}{name}{before}={after}{value}",
            _spaces,
            st.sampled_from(
                ["xmlns", "xmlnsx", "xmlns:p", "p:xmlns", "xxmlns", "b", "p:c", "xml:lang", "\u00e4"]
            ),
            st.just("") | _spaces,
            st.just("") | _spaces,
            st.sampled_from(
                [
                    "'urn:p'",
                    '"urn:p"',
                    "\" xmlns='u' \"",
                    "' xmlns=\"u\" '",
                    "'>'",
                    "'/>'",
                    '"stream xmlns=\'"',
                    "'='",
                ]
            ),
        ),
        max_size=4,
        unique_by=lambda written: written.split("=")[0].strip(),
    ),
    st.just("") | _spaces,
    st.sampled_from(["/>", ">"]),
)


@given(_tags)
def test_what_is_found_in_a_tag_without_a_parser_is_what_the_parser_finds(tag: str) -> None:
    """Its name, whether it declares a default namespace, and whether it is a stream's."""
    names: list[str] = []
    parser = expat.ParserCreate("utf-8")  # without namespaces: names as written
    parser.ordered_attributes = True
    parser.StartElementHandler = lambda name, attributes: names.extend([name, *attributes[::2]])
    data = tag.encode()
    parser.Parse(data)
    name, *attributes = names
    match = framing._ELEMENT_NAME.match(data)
    assert match is not None
    assert match[0] == f"<{name}".encode()
    assert bool(framing._DECLARES_DEFAULT.match(data, match.end())) == ("xmlns" in attributes)
    assert framing.is_legacy(data) == (name.rpartition(":")[2] == "stream")
    assert end_of_tag(data + b"<a b='>'/>") == len(data)


@given(_tags)
def test_a_headers_bindings_are_those_that_the_parser_finds(tag: str) -> None:
    def declared(data: bytes) -> list[tuple[str | None, str | None]]:
        found: list[tuple[str | None, str | None]] = []
        parser = expat.ParserCreate("utf-8", "\x01")
        parser.StartNamespaceDeclHandler = lambda prefix, namespace: found.append((prefix, namespace))
        parser.Parse(data)
        return found

    try:
        opening = parse_opening(tag.encode())
    except SessionError:  # a prefix that is not bound
        return
    assert declared(framing._bindings(opening.namespaces)) == declared(tag.encode())


@given(_stanzas)
def test_any_stanza_means_the_same_alone(stanza: str) -> None:
    header = SERVER_HEADER.replace(b" xmlns:stream", b" xmlns:p='urn:p' xmlns:stream")
    message = answered(header=header).stanza(stanza.encode())
    assert meaning(message) == meaning(header + stanza.encode() + b"</stream:stream>")[2][0]


# -- features --------------------------------------------------------------------------------------

STARTTLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
REQUIRED = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
COMPRESSION = b"<compression xmlns='http://jabber.org/features/compress'><method>zlib</method></compression>"
SASL = (
    b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1-PLUS</mechanism>"
    b"<mechanism>PLAIN</mechanism></mechanisms>"
)
BINDING = (
    b"<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/>"
    b"</sasl-channel-binding>"
)
LOOKALIKE = b"<starttls xmlns='urn:x'><required/></starttls>"

FEATURES = {
    "nothing to drop": ([SASL, BINDING], [], False),
    "STARTTLS first": ([STARTTLS], [SASL], False),
    "STARTTLS required": ([REQUIRED], [SASL], True),
    "STARTTLS in other words": (
        [b'<t:starttls  xmlns:t = "urn:ietf:params:xml:ns:xmpp-tls"\n><t:required /></t:starttls >'],
        [SASL],
        True,
    ),
    "compression": ([COMPRESSION], [SASL], False),
    "compression in other words": (
        [b'<compression\n xmlns="http://jabber.org/features/compress" ><method>lzw</method></compression >'],
        [SASL],
        False,
    ),
    "both, several times": ([STARTTLS, COMPRESSION, STARTTLS, REQUIRED], [], True),
    "both, around the rest": ([REQUIRED, COMPRESSION], [BINDING], True),
    "a look-alike in another namespace stays": ([], [LOOKALIKE], False),
    "required as another word": (
        [STARTTLS[:-2] + b" note='required'/>", STARTTLS[:-2] + b"><required xmlns='urn:r'/></starttls>"],
        [SASL],
        False,
    ),
    "required in text or deeper": (
        [STARTTLS[:-2] + b"><a><required/></a>required</starttls>"], [SASL], False,
    ),
    "required elsewhere says nothing": ([STARTTLS], [b"<a xmlns='urn:a'><required/></a>"], False),
}  # fmt: skip


@pytest.mark.parametrize("message", [OPEN, OLD_STROPHE], ids=["rfc7395", "legacy"])
@pytest.mark.parametrize("space", [b"", b" ", b"\r\n  "])
@pytest.mark.parametrize(("dropped", "kept", "required"), FEATURES.values(), ids=FEATURES)
def test_features_lose_starttls_and_compression_only(
    dropped: list[bytes], kept: list[bytes], required: bool, space: bytes, message: bytes
) -> None:
    """RFC 7395 section 3.9; the lists of mechanisms and channel bindings are hashed by clients."""
    if dropped == [SASL, BINDING]:
        dropped, kept = [], dropped
    framing = answered(message)
    for order in (dropped + kept, kept + dropped, dropped[:1] + kept + dropped[1:]):
        before = b"<stream:features>" + space.join(order) + b"</stream:features>"
        expected = b"<stream:features>" + space.join(b"" if part in dropped else part for part in order)
        assert framing.features(before) == (expected + b"</stream:features>", required)


@pytest.mark.parametrize(
    ("features", "offered"),
    [
        (SASL, True),
        (SASL.replace(b"PLUS", b"PLU&#83;"), True),
        (SASL.replace(b"-PLUS<", b"-PLUS\n<"), True),
        (SASL.replace(b"<mechanism", b"<m:mechanism").replace(b"</mechanism", b"</m:mechanism").replace(
            b"xmlns=", b"xmlns:m="), True),
        (BINDING, True),
        (b"<authentication xmlns='urn:xmpp:sasl:2'><mechanism>X-PLUS</mechanism></authentication>", True),
        (b"<authentication xmlns='urn:xmpp:sasl:2'>" + BINDING + b"</authentication>", True),
        (SASL.replace(b"-PLUS", b""), False),
        (SASL.replace(b"SCRAM-SHA-1-PLUS", b"A-PLUS-B"), False),
        (SASL.replace(b"-sasl'", b"-saslx'"), False),
        (SASL.replace(b"SCRAM-SHA-1-PLUS", b"X<!" + b"[CDATA[-PLUS<]]>"), False),
        (b"<a xmlns='urn:a' b='urn:xmpp:sasl-cb:0'>urn:xmpp:sasl-cb:0 -PLUS</a>", False),
        (b"<sasl-channel-binding xmlns='urn:x'/>", False),
        (b"", False),
    ],
)  # fmt: skip
def test_whether_channel_binding_is_offered(features: bytes, offered: bool) -> None:
    element = b"<stream:features>" + features + b"</stream:features>"
    assert answered().offers_channel_binding(element) is offered


def test_only_the_child_itself_is_dropped() -> None:
    """Not what merely has the same bytes: inside another feature, or in CDATA."""
    inside = b"<other xmlns='urn:o'>" + STARTTLS + b"<![CDATA[" + STARTTLS + b"]]></other>"
    element = b"<stream:features>" + inside + STARTTLS + b"</stream:features>"
    assert answered().features(element) == (b"<stream:features>" + inside + b"</stream:features>", False)


@pytest.mark.parametrize("element", [b"<stream:features/>", b"<stream:features></stream:features>"])
def test_empty_features(element: bytes) -> None:
    assert answered().features(element) == (element, False)


def test_features_in_the_default_namespace() -> None:
    start = b"<features xmlns='http://etherx.jabber.org/streams'>"
    element = start + REQUIRED + SASL + b"</features>"
    assert answered().features(element) == (start + SASL + b"</features>", True)


# -- any bytes -------------------------------------------------------------------------------------

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
