"""The guards around expat, and the small readers built on it (RFC 6120 section 11)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from xml.parsers import expat

import pytest
from defusedxml.common import DefusedXmlException

from wsgw.errors import SessionError
from wsgw.stanzas.parser import (
    STREAM,
    STREAMS,
    end_of_element,
    end_of_tag,
    expanded_name,
    make_parser,
    split_name,
)
from wsgw.stanzas.prefixes import undeclared_prefixes
from wsgw.stanzas.start_tag import parse_opening, without_declaration

OPEN = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org' version='1.0'/>"
HEADER = b"<stream:stream to='a' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"


def condition_of(call: Callable[[], object]) -> str:
    with pytest.raises(SessionError) as caught:
        call()
    return caught.value.condition


# -- the guards (section 11.1) ---------------------------------------------------------------------


@pytest.mark.rule("6120-11.1")
@pytest.mark.parametrize(
    "text",
    [
        b"<!DOCTYPE a><a/>",
        b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        b"<!DOCTYPE a PUBLIC 'p' 'http://192.0.2.1/x.dtd'><a/>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        b"<!DOCTYPE a [<!ENTITY % b SYSTEM 'http://192.0.2.1/'>%b;]><a/>",
        b"<a><!-- comment --></a>",
        b"<a><?instruction?></a>",
    ],
)
@pytest.mark.parametrize("options", [{}, {"namespaces": False}, {"prefixes": True}])
def test_every_parser_refuses_what_xmpp_forbids(text: bytes, options: dict[str, Any]) -> None:
    with pytest.raises((DefusedXmlException, SessionError)):
        make_parser(**options).Parse(text, True)


def test_an_undefined_entity_is_an_error() -> None:
    with pytest.raises(expat.ExpatError):
        make_parser().Parse(b"<a>&b;</a>", True)


def test_a_parser_holds_no_bytes_back_where_expat_has_that_option() -> None:
    parser = make_parser()
    if hasattr(parser, "GetReparseDeferralEnabled"):
        assert not parser.GetReparseDeferralEnabled()


@pytest.mark.parametrize("options", [{}, {"namespaces": False}, {"prefixes": True}, {"root": b"<r>"}])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_no_parser_reads_utf_16(options: dict[str, Any], mark: str, encoding: str) -> None:
    names: list[str] = []
    parser = make_parser(**options)
    parser.StartElementHandler = lambda name, _attributes: names.append(name)
    with pytest.raises(expat.ExpatError):
        parser.Parse(f"{mark}<a/>".encode(encoding))
    assert not names


@pytest.mark.parametrize("separator", [*" \t\n\r|~", "&#32;", "&#9;", "&#10;", "&#13;"])
def test_a_namespace_may_hold_any_character(separator: str) -> None:
    names: list[str] = []
    parser = make_parser()
    parser.StartElementHandler = lambda name, _attributes: names.append(name)
    parser.Parse(f"<p:a xmlns:p='urn:{separator}x{separator}'/>".encode(), True)
    namespace, local = split_name(names[0])
    assert local == "a"
    assert namespace.startswith("urn:")
    assert names == [expanded_name(namespace, local)]


# -- the XML declaration (sections 11.5 and 11.6) --------------------------------------------------


@pytest.mark.rule("7395-3.3.3-declaration")
@pytest.mark.parametrize(
    "declaration",
    [
        b"",
        b" \r\n\t",
        b"<?xml version='1.0'?>",
        b'<?xml version="1.0" encoding="UTF-8"?>\n',
        b"<?xml version='1.0' encoding='utf-8' standalone='yes' ?>",
        b"  <?xml\tversion = '1.0'\r\n encoding =\"utf-8\"?>  ",
        b"<?xml version='1.1'?>",
    ],
)
def test_a_declaration_is_removed(declaration: bytes) -> None:
    assert without_declaration(declaration + OPEN + b" \n") == OPEN
    assert without_declaration(declaration) == b""


@pytest.mark.rule("6120-11.6")
@pytest.mark.parametrize(
    ("text", "condition"),
    [
        (b"<?xml version='1.0' encoding='utf-16'?><a/>", "unsupported-encoding"),
        (b"<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "unsupported-encoding"),
        (b"<?xml encoding='utf-8'?><a/>", "not-well-formed"),
        (b"<?xml version='2.0'?><a/>", "not-well-formed"),
        (b"<?xml version='1.0'><a/>", "not-well-formed"),
        (b"<?xml version='1.0'", "not-well-formed"),
    ],
)
def test_a_bad_declaration_is_an_error(text: bytes, condition: str) -> None:
    assert condition_of(lambda: without_declaration(text)) == condition


@pytest.mark.parametrize("text", [b"<?xml-stylesheet href='x'?><a/>", b"<a/>", b"text"])
def test_text_that_is_no_declaration_stays(text: bytes) -> None:
    assert without_declaration(text) == text


# -- where tags and elements end -------------------------------------------------------------------


@pytest.mark.parametrize(
    "tag",
    [b"<a>", b"<a/>", b"</a>", b"<a b='>'>", b"<a b=\"'>\" c='\"/>'/>", b"<a\n b='\n'\n>", b"<?a '?>'?>"],
)
def test_the_end_of_a_tag_is_found(tag: bytes) -> None:
    assert end_of_tag(tag) == len(tag)
    assert end_of_tag(tag + b"<b>") == len(tag)
    assert end_of_tag(b"text" + tag, 4) == len(tag) + 4
    for taken in range(len(tag)):
        assert end_of_tag(tag[:taken]) == -1


@pytest.mark.parametrize("text", [b"", b"text>", b" <a>", b"<a <b>"])
def test_text_without_a_whole_tag_has_no_end_of_a_tag(text: bytes) -> None:
    assert end_of_tag(text) == -1


@pytest.mark.parametrize(
    ("text", "start", "position", "end"),
    [
        (b"<a/><b/>", 0, 4, 4),
        (b"<a></a><b/>", 0, 3, 7),
        (b"<a></a \n>", 0, 3, 9),
        (b"<a/></r>", 0, 4, 4),  # an empty element, and its parent's end
        (b"<a><b/></a></r>", 0, 7, 11),
        (b"<a b='/>'></a></r>", 0, 10, 14),
        (b"<b/></a></r>", -1, 4, 8),  # begun in an earlier chunk
        (b"text</a>", -1, 4, 8),
    ],
)
def test_the_end_of_an_element_is_found(text: bytes, start: int, position: int, end: int) -> None:
    assert end_of_element(text, start, position) == end


# -- prefixes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "missing"),
    [
        (b"<a/>", {""}),
        (b"<a xmlns='u'><b/></a>", set()),
        (b"<a xmlns=''/>", set()),
        (b"<p:a/>", {"p"}),
        (b"<p:a xmlns:p='u'/>", set()),
        (b"<p:a xmlns:p='u'><b/></p:a>", {""}),
        (b"<p:a xmlns:p='u'><b xmlns='v'/><c/></p:a>", {""}),
        (b"<a xmlns='u'><p:b/></a>", {"p"}),
        (b"<a xmlns='u'><b p:c=''/></a>", {"p"}),
        (b"<a xmlns='u' xml:lang='en'/>", set()),
        (b"<a xmlns='u'><p:b xmlns:p='v'/><p:c/></a>", {"p"}),  # its scope has ended
        (b"<a xmlns='u'><p:b xmlns:p='v'><p:b xmlns:p='w'/><p:c/></p:b></a>", set()),
        (b"<a xmlns='u' b='p:c'>p:d xmlns:p='u'</a>", set()),
        ("<ä:a xmlns='u'/>".encode(), {"ä"}),
    ],
)
def test_undeclared_prefixes_are_found(element: bytes, missing: set[str]) -> None:
    assert undeclared_prefixes(element) == missing


@pytest.mark.perf
def test_deep_declarations_take_linear_time() -> None:
    """One user may send them to another; to keep a set of prefixes for each level took quadratic time."""

    def seconds(depth: int) -> float:
        opened = b"".join(b"<a xmlns:p%d='u'>" % level for level in range(depth))
        element = opened + b"</a>" * depth
        best = float("inf")
        for _ in range(3):
            begun = time.process_time()
            undeclared_prefixes(element)
            best = min(best, time.process_time() - begun)
        return best

    assert seconds(8000) < 8 * 4 * seconds(1000)


# -- the message that opens a stream ---------------------------------------------------------------


def test_an_opening_is_read_whole() -> None:
    tag = (
        b"<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams' xmlns:x='urn:x'\n"
        b" to=\"a'&amp;&lt;&quot;\" x:y='1' xml:lang='de' unknown='&#x20AC;>'>"
    )
    opening = parse_opening(tag)
    assert (opening.name, opening.prefix, opening.tag) == (STREAM, "s", tag)
    assert opening.attributes == (("to", "a'&<\""), ("x:y", "1"), ("xml:lang", "de"), ("unknown", "€>"))
    assert opening.namespaces == (("", "jabber:client"), ("s", STREAMS), ("x", "urn:x"))
    assert opening.get("xml:lang") == "de"
    assert opening.get("version") == ""


@pytest.mark.rule("regression-open")
@pytest.mark.parametrize(
    "text",
    [
        OPEN,
        OPEN[:-2] + b"></open>",
        OPEN[:-2] + b">\n</open >",
        OPEN.replace(b"<open ", b"<open\n").replace(b"'", b'"'),
        OPEN.replace(b"<open xmlns=", b"<f:open xmlns:f="),
    ],
)
def test_open_is_read_in_every_spelling(text: bytes) -> None:
    opening = parse_opening(text)
    assert opening.name == expanded_name("urn:ietf:params:xml:ns:xmpp-framing", "open")
    assert (opening.get("to"), opening.get("version")) == ("example.org", "1.0")
    assert text.startswith(opening.tag)


BAD_OPENINGS = {
    "nothing": (b"", "not-well-formed"),
    "text": (b"hello", "not-well-formed"),
    "a tag that does not end": (OPEN[:-2], "not-well-formed"),
    "a byte order mark (11.6)": (b"\xef\xbb\xbf" + OPEN, "not-well-formed"),
    "text after it": (OPEN + b"x", "not-well-formed"),
    "two of them": (OPEN + OPEN, "not-well-formed"),
    "content": (HEADER + b"<a/>", "not-well-formed"),
    "text inside": (OPEN[:-2] + b">x</open>", "not-well-formed"),
    "an end tag that does not end": (OPEN[:-2] + b"></open", "not-well-formed"),
    "something after the end tag": (OPEN[:-2] + b"></open>>", "not-well-formed"),
    "the wrong end tag": (OPEN[:-2] + b"></close>", "not-well-formed"),
    "an end tag alone": (b"</stream:stream>", "not-well-formed"),
    "an attribute twice": (OPEN.replace(b"version", b"to"), "not-well-formed"),
    "an undeclared prefix": (b"<stream:stream to='a'>", "not-well-formed"),
    "'<' in an attribute": (b"<open to='<'/>", "not-well-formed"),
    "no quotes": (b"<open to=a/>", "not-well-formed"),
    "a document type": (b"<!DOCTYPE open>" + OPEN, "restricted-xml"),
    "an entity in an attribute": (OPEN.replace(b"example", b"&e;"), "restricted-xml"),
    "entities declared": (b"<!DOCTYPE a [<!ENTITY a 'b'>]>" + OPEN, "restricted-xml"),
    "a comment before": (b"<!-- -->" + OPEN, "restricted-xml"),
    "a comment after": (OPEN + b"<!-- -->", "restricted-xml"),
    "a processing instruction": (b"<?a?>" + OPEN, "restricted-xml"),
    "a second declaration": (OPEN + b"<?xml version='1.0'?>", "not-well-formed"),
}


@pytest.mark.parametrize(("text", "condition"), BAD_OPENINGS.values(), ids=BAD_OPENINGS)
def test_a_bad_opening_is_an_error(text: bytes, condition: str) -> None:
    assert condition_of(lambda: parse_opening(without_declaration(text))) == condition
