"""The check of a client's messages: each is one element, unchanged, without anything that XMPP forbids."""

from __future__ import annotations

import time
from functools import partial
from xml.parsers import expat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stanzas.server.dialogues import EJABBERD_HEADER
from tests.support.outcomes import tokens_with
from wsgw.errors import CloseCode, SessionError, StreamError
from wsgw.stanzas.client import ClientStanzas
from wsgw.stanzas.cutter import MAX_PARSED
from wsgw.stanzas.element import read_element
from wsgw.stanzas.parser import STREAM, STREAMS, expanded_name
from wsgw.stanzas.start_tag import first_tag, parse_opening

KIB = 1024
MESSAGE = expanded_name("jabber:client", "message")

RFC7395_ROOT = b"<messages>"
LEGACY_ROOT = (
    b"<stream:stream to='a' xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams' xmlns:x='urn:x'>"
)


def checker(root: bytes = RFC7395_ROOT) -> ClientStanzas:
    return ClientStanzas(root, max_depth=4, max_attributes=5)


ELEMENTS = {
    "a stanza": (b"<message xmlns='jabber:client'><body>x</body></message>", MESSAGE),
    "an empty element": (b"<presence xmlns='jabber:client'/>", expanded_name("jabber:client", "presence")),
    "an end tag with a space": (
        b"<presence xmlns='jabber:client'></presence \n>",
        expanded_name("jabber:client", "presence"),
    ),
    "a namespace that ends in a blank": (b"<x xmlns='urn:x '/>", expanded_name("urn:x ", "x")),
    "a namespace with a line break": (b"<p:x xmlns:p='urn:&#10;'/>", expanded_name("urn:\n", "x")),
    "another name than it seems": (
        b"<x xmlns='jabber:client message'/>",
        expanded_name("jabber:client message", "x"),
    ),
    "a prefixed element": (b"<c:iq xmlns:c='jabber:client'/>", expanded_name("jabber:client", "iq")),
    "no namespace": (b"<message/>", "message"),
    "RFC 7395's close": (b"<close xmlns='urn:x'/>", expanded_name("urn:x", "close")),
    "CDATA inside": (b"<a><![CDATA[</a><b>]]></a>", "a"),
    "the same name inside": (b"<a><a/></a>", "a"),
    "'>' in a value": (b"<a b='/>'></a>", "a"),
    "'>' at the end of text": (b"<a>></a>", "a"),
    "the five entities and references": (b"<a>&lt;&amp;&gt;&quot;&apos;&#x20ac;&#8364;</a>", "a"),
    "characters beyond ASCII": ("<ä ß='𝄞'>€</ä>".encode(), "ä"),
    "as deep as allowed": (b"<a><a><a><a/></a></a></a>", "a"),
    "as many attributes as allowed": (b"<a b='' c='' d='' e='' xmlns='u'/>", expanded_name("u", "a")),
    "attributes of several elements": (b"<a b='' c='' d=''><a e='' f='' xmlns='u'/></a>", "a"),
}


@pytest.mark.parametrize("root", [RFC7395_ROOT, b"<stream:stream xmlns:stream='u'>"])
def test_accepted_elements_are_returned_unchanged(root: bytes) -> None:
    stanzas = checker(root)
    for element, name in [*ELEMENTS.values()] * 2:
        assert stanzas.check(element) == (name, element)
        assert stanzas.check(b" \n" + element + b"\r\n\t") == (name, element)
        assert stanzas.check(b"<?xml version='1.0' encoding='UTF-8'?>\n" + element) == (name, element)


REFUSED = {
    "nothing": (b"", "not-well-formed"),
    "text": (b"hello", "not-well-formed"),
    "text before": (b"x<a/>", "not-well-formed"),
    "text after an empty element": (b"<a/>x", "not-well-formed"),
    "text after an end tag": (b"<a></a>x", "not-well-formed"),
    "'>' after an end tag": (b"<a></a>>", "not-well-formed"),
    "a reference after it": (b"<a/>&amp;", "not-well-formed"),
    "CDATA before": (b"<![CDATA[x]]><a/>", "not-well-formed"),
    "empty CDATA before": (b"<![CDATA[]]><a/>", "not-well-formed"),
    "CDATA after": (b"<a/><![CDATA[]]>", "not-well-formed"),
    "CDATA alone": (b"<![CDATA[x]]>", "not-well-formed"),
    "two elements": (b"<a/><b/>", "not-well-formed"),
    "two elements with text between": (b"<a></a> <b></b>", "not-well-formed"),
    "an unclosed element": (b"<a>", "not-well-formed"),
    "an unclosed tag": (b"<a", "not-well-formed"),
    "an unclosed attribute": (b"<a b='", "not-well-formed"),
    "an unclosed end tag": (b"<a></a", "not-well-formed"),
    "an unclosed CDATA section": (b"<a><![CDATA[x</a>", "not-well-formed"),
    "an end tag": (b"</a>", "not-well-formed"),
    "the end of what stands around it": (b"</messages>", "not-well-formed"),
    "an element and that end": (b"<a/></messages>", "not-well-formed"),
    "that end, and a new beginning": (b"<a/></messages><messages>", "not-well-formed"),
    "mismatched tags": (b"<a></b>", "not-well-formed"),
    "an attribute twice": (b"<a b='' b=''/>", "not-well-formed"),
    "an attribute twice by its namespace": (b"<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>", "not-well-formed"),
    "'<' in a value": (b"<a b='<'/>", "not-well-formed"),
    "']]>' in text": (b"<a>]]></a>", "not-well-formed"),
    "a bare ampersand": (b"<a>a & b</a>", "not-well-formed"),
    "an undeclared prefix": (b"<stream:error/>", "not-well-formed"),
    "a control character": (b"<a>\x08</a>", "not-well-formed"),
    "a NUL": (b"<a>\0</a>", "not-well-formed"),
    "a NUL by reference": (b"<a>&#0;</a>", "not-well-formed"),
    "U+FFFF": ("<a>\uffff</a>".encode(), "not-well-formed"),
    "a byte order mark (11.6)": (b"\xef\xbb\xbf<a/>", "not-well-formed"),
    "the prefix xmlns bound": (b"<a xmlns:xmlns='u'/>", "not-well-formed"),
    "the prefix xml bound elsewhere": (b"<a xmlns:xml='u'/>", "not-well-formed"),
    "a name with two colons": (b"<a:b:c xmlns:a='u'/>", "not-well-formed"),
    "a malformed declaration": (b"<?xml version='3'?><a/>", "not-well-formed"),
    "UTF-16 declared (11.6)": (b"<?xml version='1.0' encoding='utf-16'?><a/>", "unsupported-encoding"),
    "Latin-1 declared": (b"<?xml version='1.0' encoding='iso-8859-1'?><a/>", "unsupported-encoding"),
    "a comment": (b"<a><!-- --></a>", "restricted-xml"),
    "a comment before": (b"<!-- --><a/>", "restricted-xml"),
    "a comment after": (b"<a/><!-- -->", "restricted-xml"),
    "a processing instruction": (b"<a><?b?></a>", "restricted-xml"),
    "a processing instruction before": (b"<?b?><a/>", "restricted-xml"),
    "a style sheet": (b"<?xml-stylesheet href='x'?><a/>", "restricted-xml"),
    "a second declaration": (b"<?xml version='1.0'?><?xml version='1.0'?><a/>", "restricted-xml"),
    "a declaration inside": (b"<a><?xml version='1.0'?></a>", "restricted-xml"),
    "a document type": (b"<!DOCTYPE a><a/>", "restricted-xml"),
    "a document type after a declaration": (b"<?xml version='1.0'?><!DOCTYPE a><a/>", "restricted-xml"),
    "a document type inside": (b"<a><!DOCTYPE a></a>", "restricted-xml"),
    "an entity bomb": (
        b"<!DOCTYPE a [<!ENTITY b 'x'><!ENTITY c '&b;&b;'><!ENTITY d '&c;&c;'>]><a>&d;</a>", "restricted-xml",
    ),
    "an external entity": (
        b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>", "restricted-xml",
    ),
    "an entity": (b"<a>&nbsp;</a>", "restricted-xml"),
    "an entity in a value": (b"<a b='&nbsp;'/>", "restricted-xml"),
    "too deep": (b"<a>" * 5 + b"</a>" * 5, "policy-violation"),
    "too many attributes": (b"<a b='' c='' d='' e='' f='' g=''/>", "policy-violation"),
    "too many attributes inside": (b"<a><a b='' c='' d='' e='' f='' g=''/></a>", "policy-violation"),
    "declarations are attributes too": (
        b"<a b='' c='' xmlns='u' xmlns:d='u' xmlns:e='u' xmlns:f='u'/>", "policy-violation",
    ),
}  # fmt: skip


@pytest.mark.rule("7395-3.3.3-whole", "7395-3.3.3-first", "6120-11.3")
@pytest.mark.parametrize(("message", "condition"), REFUSED.values(), ids=REFUSED)
def test_a_bad_message_is_refused_with_its_error(message: bytes, condition: str) -> None:
    for before in (0, 3):
        stanzas = checker()
        for _ in range(before):
            stanzas.check(b"<a/>")
        with pytest.raises(SessionError) as caught:
            stanzas.check(message)
        assert caught.value.condition == condition
        encoding = condition == "unsupported-encoding"
        assert caught.value.code == (CloseCode.INVALID_PAYLOAD if encoding else CloseCode.POLICY_VIOLATION)


def test_in_legacy_framing_the_clients_header_binds_prefixes() -> None:
    stanzas = checker(LEGACY_ROOT)
    for element, name in (
        (b"<message/>", MESSAGE),
        (b"<x:a x:b=''/>", expanded_name("urn:x", "a")),
        (b"<stream:error/>", expanded_name(STREAMS, "error")),
        (b"<a xmlns=''/>", "a"),
    ):
        assert stanzas.check(element) == (name, element)
    with pytest.raises(SessionError):
        stanzas.check(b"<y:a/>")
    with pytest.raises(SessionError):
        checker(LEGACY_ROOT).check(b"<message/></stream:stream>")


@pytest.mark.parametrize("end", [b">", b"/>", b"></stream:stream>"])
@pytest.mark.parametrize("declaration", [b"", b"<?xml version='1.0'?>"])
def test_a_new_stream_header_is_recognised(end: bytes, declaration: bytes) -> None:
    header = LEGACY_ROOT[:-1] + end
    stanzas = checker(LEGACY_ROOT)
    stanzas.check(b"<message/>")
    assert stanzas.check(declaration + header) == (STREAM, header)
    assert stanzas.check(b"<message/>") == (MESSAGE, b"<message/>"), "the checker is still usable"
    assert checker().check(declaration + header) == (STREAM, header)


def test_a_stream_header_inside_an_element_is_not_a_new_stream() -> None:
    inside = b"<a><stream xmlns='http://etherx.jabber.org/streams'/></a>"
    assert checker().check(inside) == ("a", inside)


@pytest.mark.parametrize("root", [RFC7395_ROOT, b"<r xmlns:q='%s'>" % (b"q" * 2000)])
@pytest.mark.parametrize("size", [255, 256, 257, 100 * KIB])
def test_a_namespace_may_have_any_length(root: bytes, size: int) -> None:
    uri = b"u" * size
    stanzas = checker(root)
    message = b"<p:m xmlns:p='%s' p:a='' b='' xml:lang='en'>%s</p:m>" % (uri, b"<p:a/>" * 2000)
    for _ in range(2):
        assert stanzas.check(message) == (expanded_name(uri.decode(), "m"), message)
        assert stanzas.check(b"<iq xmlns='jabber:client'/>")[0] == expanded_name("jabber:client", "iq")
    faults = {
        "not-well-formed": (
            b"<q:p/>" if root == RFC7395_ROOT else b"<z:p/>",
            b"<p:m:n/>",
            b"<a p:b='' c:d=''/>",
        ),
        "policy-violation": (b"<p:a>" * 4, b"<a b='1' c='2' d='3' e='4' p:f='5' g='6'/>"),
    }
    for condition, contents in faults.items():
        for content in contents:
            with pytest.raises(SessionError) as caught:
                stanzas.check(b"<p:m xmlns:p='%s'>%s</p:m>" % (uri, content))
            assert caught.value.condition == condition, content


@pytest.mark.rule("xml-cost")
@pytest.mark.perf
def test_a_long_namespace_costs_no_more_than_its_bytes() -> None:
    """expat writes it before every name in it: a message of half namespace, half elements took seconds."""
    message = b"<m xmlns='%s'>%s</m>" % (b"u" * 128 * KIB, b"<a/>" * 32 * KIB)
    start = time.process_time()
    assert checker().check(message)[1] == message
    assert time.process_time() - start < 1.5


@pytest.mark.rule("xml-cost")
@pytest.mark.perf
def test_attributes_in_a_long_namespace_cost_no_more_than_their_bytes() -> None:
    """expat writes the namespace before each name of one tag, where no handler can stop it."""
    attributes = b" ".join(b"p:a%d=''" % number for number in range(10_000))
    message = b"<m xmlns:p='%s' %s/>" % (b"u" * 128 * KIB, attributes)
    start = time.process_time()
    with pytest.raises(SessionError, match="too many attributes"):
        checker().check(message)
    many = ClientStanzas(RFC7395_ROOT, 10, 20_000)
    assert many.check(message) == ("m", message)
    for read in (parse_opening, partial(first_tag, RFC7395_ROOT), partial(read_element, RFC7395_ROOT)):
        with pytest.raises(StreamError, match="policy-violation: a "):
            read(message)
    assert time.process_time() - start < 1.5


def test_the_clients_names_are_bounded_too() -> None:
    stanzas = checker(LEGACY_ROOT)
    for number in range(2000):
        element = b"<n%d a%d='' xmlns:p%d='u%d'/>" % (number, number, number, number)
        assert stanzas.check(element) == (expanded_name("jabber:client", f"n{number}"), element)
        assert stanzas._parser is None or len(stanzas._parser.intern) <= 512
    big = b"<message>" + b"x" * 100 * KIB + b"</message>"
    for _ in range(5):
        assert stanzas.check(big) == (MESSAGE, big)
        assert stanzas._parser is None or stanzas._parsed <= MAX_PARSED


TOKENS = [*tokens_with(EJABBERD_HEADER), b"</messages>", b"<messages>"]


@given(st.lists(st.sampled_from(TOKENS), max_size=7).map(b"".join))
def test_an_accepted_message_is_exactly_one_element(message: bytes) -> None:
    """By an independent parser: a root with exactly one child and no text."""
    stanzas = checker()
    stanzas.check(b"<a/>")
    try:
        name, element = stanzas.check(message)
    except SessionError:
        return
    if name == STREAM:
        return
    depth, children, text = 0, 0, ""

    def start(_name: str, _attributes: object) -> None:
        nonlocal depth, children
        depth += 1
        children += depth == 2

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def data(some: str) -> None:
        nonlocal text
        text += some if depth == 1 else ""

    parser = expat.ParserCreate("utf-8", " ")
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
    parser.Parse(b"<root>" + element + b"</root>", True)
    assert (children, text) == (1, "")
    assert element in message
