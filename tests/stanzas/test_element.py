"""One parsed element: its names, attributes, texts and places, in any spelling."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.errors import StreamError
from wsgw.stanzas.element import LEVELS, MAX_LOGIN_NAMESPACE, MAX_SIZE, Element, read_element
from wsgw.stanzas.parser import CLIENT, STREAMS, end_of_tag, expanded_name

ROOT = (
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:p='urn:p'>"
)


def test_an_element_has_its_names_attributes_and_texts() -> None:
    document = (
        b"<iq type = \"result\" id='&#97;&amp;' p:id='other' xml:lang='en'>a<![CDATA[<b/>]]>"
        b"<stream:x>1</stream:x>&lt;<p:y xmlns:p='urn:q'><z/></p:y></iq>"
    )
    iq = read_element(ROOT, document)
    assert (iq.name, iq.text) == (expanded_name(CLIENT, "iq"), "a<b/><")
    assert (iq.attributes["type"], iq.attributes["id"]) == ("result", "a&")
    assert iq.attributes[expanded_name("urn:p", "id")] == "other"
    assert [child.name for child in iq.children] == [expanded_name(STREAMS, "x"), expanded_name("urn:q", "y")]
    assert iq.children[0].text == "1"
    assert [inner.name for inner in iq.children[1].children] == [expanded_name(CLIENT, "z")]


def test_a_child_is_found_with_its_bytes() -> None:
    parts = [
        b"<a/>",
        b"<p:b xmlns:p='u'><p:b/></p:b>",
        b"<c xmlns='v' d='/>'>x</c>",
        b"<stream:e><f/></stream:e >",
    ]
    document = b"<stream:features x='>'>\n" + b" text ".join(parts) + b"<![CDATA[<g/>]]></stream:features>"
    features = read_element(ROOT, document)
    assert [document[child.start : child.end] for child in features.children] == parts
    assert (features.start, features.end) == (0, len(document))
    assert read_element(ROOT, b"<a/>").children == read_element(ROOT, b"<a>text</a>").children == []


@pytest.mark.parametrize(
    ("document", "content"),
    [
        (b"<a>1</a>", b"1"),
        (b"<a b='>'\n>1</a >", b"1"),
        (b"<a></a>", b""),
        (b"<a><b></b>&lt;<![CDATA[</a]]></a>", b"<b></b>&lt;<![CDATA[</a]]>"),
    ],
)
def test_an_element_knows_the_place_of_its_content(document: bytes, content: bytes) -> None:
    start, end = read_element(ROOT, document).content(document)
    assert document[start:end] == content


def test_of_two_children_of_one_name_neither_is_taken() -> None:
    element = read_element(ROOT, b"<a><b>1</b><c>2</c><b>3</b><b xmlns='u'>4</b></a>")
    assert element.child(expanded_name(CLIENT, "b")) is None
    assert element.text_of(expanded_name(CLIENT, "b")) == element.text_of(expanded_name(CLIENT, "d")) == ""
    assert element.text_of(expanded_name(CLIENT, "c")) == "2"
    assert element.text_of(expanded_name("u", "b")) == "4"


def test_deep_elements_are_not_followed() -> None:
    depth = 4000
    element = read_element(ROOT, b"<a>" * depth + b"text" + b"</a>" * depth)
    for _ in range(LEVELS):
        (element,) = element.children
        assert element.text == ""
    assert element.children == []


@pytest.mark.parametrize(
    "document",
    [
        b"<a>" + b"x" * MAX_SIZE + b"</a>",
        b"<a xmlns='%s'/>" % (b"u" * (MAX_LOGIN_NAMESPACE + 1)),
        b"<a><b><c><d xmlns:e='%s'/></c></b></a>" % (b"u" * (MAX_LOGIN_NAMESPACE + 1)),
        b"<a",
        b"<q:a/>",
        b"<!DOCTYPE a>",
    ],
    ids=["size", "namespace", "inner namespace", "half", "prefix", "DOCTYPE"],
)
def test_an_unreadable_element_is_a_documented_error(document: bytes) -> None:
    with pytest.raises(StreamError):
        read_element(ROOT, document)


_texts = st.sampled_from(["", "x", "&lt;a b='c'/&gt;", "<![CDATA[<b>]]>", "&#8364;", "\n", "'\">"])
_tags = st.sampled_from(["a", "p:b", "stream:c", "d"])
_attributes = st.lists(
    st.sampled_from(
        [" x='1'", '\n y = "&#39;>"', " p:x='/>'", " xmlns='urn:d'", " xmlns:p='urn:r'", " z=\" x='2' \""]
    ),
    max_size=3,
    unique_by=lambda written: written.split("=")[0].strip(),
)


def _written(tag: str, attributes: list[str], content: list[str], end: str) -> str:
    inside = "".join(content)
    tags = tag + "".join(attributes)
    return f"<{tags}{end}/>" if not inside and end else f"<{tags}>{inside}</{tag}{end}>"


_documents = st.recursive(
    st.builds(_written, _tags, _attributes, st.lists(_texts, max_size=2), st.sampled_from(["", " "])),
    lambda inner: st.builds(
        _written, _tags, _attributes, st.lists(inner | _texts, max_size=4), st.sampled_from(["", " "])
    ),
    max_leaves=8,
)


def _known(name: str) -> str:
    """An expanded name as ElementTree writes it."""
    namespace, brace, local = name.removeprefix("{").rpartition("}")
    return expanded_name(namespace, local) if brace else name


def _meaning(element: ElementTree.Element, levels: int) -> tuple[object, ...]:
    text = (element.text or "") + "".join(child.tail or "" for child in element)
    children = [_meaning(child, levels - 1) for child in element] if levels else []
    return _known(element.tag), {_known(key): value for key, value in element.attrib.items()}, text, children


def _read(element: Element) -> tuple[object, ...]:
    return element.name, element.attributes, element.text, [_read(child) for child in element.children]


@pytest.mark.rule("login-read")
@given(_documents.filter(lambda document: document.startswith("<") and not document.startswith("<!")))
def test_any_element_means_the_same_to_another_parser(document: str) -> None:
    written = document.encode()
    element = read_element(ROOT, written)
    (other,) = ElementTree.fromstring(ROOT + written + b"</stream:stream>")
    assert _read(element) == _meaning(other, LEVELS)
    for child in element.children:
        part = written[child.start : child.end]
        scope = ROOT + written[: end_of_tag(written)]
        assert _read(read_element(scope, part))[:3] == _read(child)[:3]
