"""The check of prefixes and namespaces, compared with that of expat in its namespace mode."""

from __future__ import annotations

from xml.parsers import expat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.stanzas.namespaces import Namespaces
from wsgw.stanzas.parser import make_parser

TAGS = {
    "<a/>": "",
    "<a b='' xml:lang='en' xmlns='' xmlns:p='urn: x&#10;' p:b=''/>": "",
    "<p:a xmlns:p='u' xmlns:q='u' p:b='' q:c='' b=''/>": "",
    "<xml:a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>": "",
    "<p:à xmlns:p='u' p:日=''/>": "",
    "<p:a/>": "unbound prefix",
    "<a p:b=''/>": "unbound prefix",
    "<xmlns:a/>": "unbound prefix",
    "<a:b:c xmlns:a='u'/>": "malformed qualified name",
    "<:a/>": "malformed qualified name",
    "<a:/>": "malformed qualified name",
    "<p:1 xmlns:p='u'/>": "malformed qualified name",
    "<p:· xmlns:p='u'/>": "malformed qualified name",
    "<a xmlns:p='u' p:-b=''/>": "malformed qualified name",
    "<a xmlns:='u'/>": "malformed qualified name",
    "<a xmlns:p:q='u'/>": "malformed qualified name",
    "<a xmlns:p='u' xmlns:q='u' p:b='' q:b=''/>": "duplicate attribute",
    "<a xmlns:p=''/>": "undeclared prefix",
    "<a xmlns:xml='u'/>": "reserved prefix or namespace",
    "<a xmlns:xmlns='u'/>": "reserved prefix or namespace",
    "<a xmlns='http://www.w3.org/2000/xmlns/'/>": "reserved prefix or namespace",
    "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>": "reserved prefix or namespace",
    "<a xmlns='http://www.w3.org/XML/1998/namespace'/>": "reserved prefix or namespace",
    "<a xmlns:p='http://www.w3.org/XML/1998/namespace' p:b=''/>": "reserved prefix or namespace",
}


def faults(text: str) -> list[str]:
    """The error of each start tag, in order."""
    names = Namespaces()
    found: list[str] = []
    parser = make_parser(namespaces=False)
    parser.StartElementHandler = lambda name, attributes: found.append(names.start(name, attributes))
    parser.EndElementHandler = lambda _name: names.end()
    parser.Parse(text, True)
    return found


def expat_takes(text: str) -> bool:
    try:
        expat.ParserCreate("utf-8", "\x01").Parse(text, True)
    except expat.ExpatError:
        return False
    return True


@pytest.mark.parametrize(("tag", "fault"), TAGS.items(), ids=TAGS)
def test_a_tag_with_a_bad_prefix_is_an_error(tag: str, fault: str) -> None:
    assert faults(tag) == [fault]
    assert expat_takes(tag) is (fault == "")


@pytest.mark.parametrize("size", [1, 300])
def test_a_declaration_holds_inside_its_element_only(size: int) -> None:
    """After the element, the previous binding holds again."""
    uri = "u" * size
    inner = f"<p:b xmlns:p='{uri}' xmlns:q='{uri}' xmlns=''><p:c q:d='' p:d=''/><d q:e=''/></p:b>"
    text = f"<a xmlns:p='v'>{inner}<p:c/><q:c/><c xmlns:q='w'/></a>"
    assert faults(text) == ["", "", "duplicate attribute", "", "", "unbound prefix", ""]


def test_expanded_names_are_those_of_a_parser_with_namespaces() -> None:
    text = "<a xmlns='u'><p:b xmlns:p='v'/><c xmlns=''/><xml:d/><e/></a>"
    expected: list[str] = []
    parser = make_parser()
    parser.StartElementHandler = lambda name, _attributes: expected.append(name)
    parser.Parse(text, True)
    names, found = Namespaces(), []
    parser = make_parser(namespaces=False)

    def start(name: str, attributes: list[str]) -> None:
        assert names.start(name, attributes) == ""
        found.append(names.expanded(name))

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _name: names.end()
    parser.Parse(text, True)
    assert found == expected


_NAME = st.sampled_from(
    ["a", "p:a", "q:a", "p:b", "xml:a", "xmlns:a", "p:a:b", ":a", "a:", "p:1", "p:·", "é:é"]
)
_URI = st.sampled_from(
    ["", "u", "v", " u ", "http://www.w3.org/2000/xmlns/", "http://www.w3.org/XML/1998/namespace"]
)
_DECLARED = st.sampled_from(
    ["xmlns", "xmlns:p", "xmlns:q", "xmlns:xml", "xmlns:xmlns", "xmlns:", "xmlns:é", "xmlns:1"]
)
_ATTRIBUTES = st.dictionaries(_DECLARED | _NAME, _URI, max_size=4)


@given(
    st.recursive(
        st.tuples(_NAME, _ATTRIBUTES, st.just([])),
        lambda inner: st.tuples(_NAME, _ATTRIBUTES, st.lists(inner, max_size=3)),
        max_leaves=5,
    )
)
def test_expat_finds_the_same_errors(tree: tuple[str, dict[str, str], list[object]]) -> None:
    def written(element: tuple[str, dict[str, str], list[object]]) -> str:
        name, attributes, content = element
        tag = name + "".join(f" {key}='{value}'" for key, value in attributes.items())
        return f"<{tag}>{''.join(map(written, content))}</{name}>"  # type: ignore[arg-type]

    text = written(tree)
    assert expat_takes(text) is not any(faults(text)), text
