"""Declarations of the server's header are restored in each stanza (RFC 7395 section 3.3.3)."""

from __future__ import annotations

import time
from xml.etree import ElementTree
from xml.parsers import expat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xmpp.framing.examples import DEFAULT, OLD_STROPHE, PREFIX, SERVER_HEADER, answered
from wsgw.errors import SessionError
from wsgw.stanzas.parser import ELEMENT_NAME, end_of_tag
from wsgw.stanzas.start_tag import parse_opening
from wsgw.xmpp import framing
from wsgw.xmpp.choice import framing_of_refusal
from wsgw.xmpp.header import bindings

#: In each, ``DEFAULT`` or ``PREFIX`` marks the place where it has to be inserted.
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


@pytest.mark.rule("7395-3.3.3-whole")
@pytest.mark.parametrize(("name", "missing", "rest"), RESTORED.values(), ids=RESTORED)
def test_missing_declarations_are_inserted_in_the_root_tag(name: bytes, missing: bytes, rest: bytes) -> None:
    element = name + rest
    message = answered().stanza(element)
    assert message == name + missing + rest
    assert meaning(message) == meaning(SERVER_HEADER + element + b"</stream:stream>")[2][0]
    assert answered(OLD_STROPHE).stanza(element) == element, "legacy framing inserts nothing"


def meaning(document: bytes) -> tuple[str, object, list[object], str]:
    """(name, attributes, children, text), as a namespace-aware parser reads them."""

    def of(element: ElementTree.Element) -> tuple[str, object, list[object], str]:
        return element.tag, dict(element.attrib), [of(child) for child in element], element.text or ""

    return of(ElementTree.fromstring(document))


@pytest.mark.rule("7395-3.3.3-prefix")
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


@pytest.mark.perf
def test_only_the_root_tag_of_a_long_stanza_is_read() -> None:
    """Other sessions wait meanwhile; a declaration that is not used changes nothing."""
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


@pytest.mark.rule("login-read")
@given(_tags)
def test_a_tag_is_read_without_a_parser_as_the_parser_reads_it(tag: str) -> None:
    """Its name, whether it declares a default namespace, and whether it is a stream's."""
    names: list[str] = []
    parser = expat.ParserCreate("utf-8")  # without namespaces: names as written
    parser.ordered_attributes = True
    parser.StartElementHandler = lambda name, attributes: names.extend([name, *attributes[::2]])
    data = tag.encode()
    parser.Parse(data)
    name, *attributes = names
    match = ELEMENT_NAME.match(data)
    assert match is not None
    assert match[0] == f"<{name}".encode()
    assert bool(framing._DECLARES_DEFAULT.match(data, match.end())) == ("xmlns" in attributes)
    assert (framing_of_refusal(data).name == "legacy") == (name.rpartition(":")[2] == "stream")
    assert end_of_tag(data + b"<a b='>'/>") == len(data)


@pytest.mark.rule("login-read")
@given(_tags)
def test_the_parser_finds_the_same_bindings_of_a_header(tag: str) -> None:
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
    assert declared(bindings(opening.namespaces)) == declared(tag.encode())


@pytest.mark.rule("7395-3.3.3-whole")
@given(_stanzas)
def test_any_stanza_means_the_same_outside_its_stream(stanza: str) -> None:
    header = SERVER_HEADER.replace(b" xmlns:stream", b" xmlns:p='urn:p' xmlns:stream")
    message = answered(header=header).stanza(stanza.encode())
    assert meaning(message) == meaning(header + stanza.encode() + b"</stream:stream>")[2][0]
