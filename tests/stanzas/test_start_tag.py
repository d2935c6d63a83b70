"""The message that opens a stream, and its XML declaration (RFC 6120 sections 11.5 and 11.6)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wsgw.errors import SessionError
from wsgw.stanzas.parser import (
    STREAM,
    STREAMS,
    expanded_name,
)
from wsgw.stanzas.start_tag import parse_opening, without_declaration

OPEN = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.org' version='1.0'/>"
HEADER = b"<stream:stream to='a' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"


def condition_of(call: Callable[[], object]) -> str:
    with pytest.raises(SessionError) as caught:
        call()
    return caught.value.condition


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
