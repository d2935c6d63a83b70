"""The guards around expat, and the small readers built on it (RFC 6120 section 11)."""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

import pytest
from defusedxml.common import DefusedXmlException

from wsgw.errors import SessionError
from wsgw.stanzas.parser import (
    end_of_element,
    end_of_tag,
    expanded_name,
    make_parser,
    split_name,
)

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
