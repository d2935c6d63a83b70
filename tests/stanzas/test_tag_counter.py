"""The tag counter finds the same end of an element as a parser, in any chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.errors import SessionError
from wsgw.stanzas.tag_counter import TagCounter

ELEMENTS = {
    "empty": b"<a/>",
    "empty, with a space": b"<a />",
    "content": b"<a>text</a>",
    "depth": b"<a><a><b/></a ><c></c></a>",
    "markup in values": b"<a b='</a>' c=\"/>'>\"><d e='/'></d></a>",
    "CDATA": b"<a><![CDATA[</a>]]]]><![CDATA[>]]>]]></a\n>",
    "empty CDATA": b"<a><![CDATA[]]></a>",
    "text like markup": b"<a>]]&gt; > ' \" /> ]]</a>",
}


@pytest.mark.parametrize("element", ELEMENTS.values(), ids=ELEMENTS)
def test_the_end_is_found_at_every_split_point(element: bytes) -> None:
    for place in range(len(element)):
        counter = TagCounter(0)
        assert counter.skip(element[:place]) == -1
        assert counter.skip(element[place:] + b"</z>") == len(element) - place, element[:place]
    counter = TagCounter(0)
    ends = [counter.skip(element[place : place + 1]) for place in range(len(element))]
    assert ends == [-1] * (len(element) - 1) + [1]


def test_counting_may_begin_inside_an_element() -> None:
    counter = TagCounter(2)
    assert counter.skip(b"text</b>") == -1
    assert counter.depth == 1
    assert counter.skip(b" </a>rest") == 5


@pytest.mark.parametrize("markup", [b"<!-- -->", b"<!DOCTYPE a>", b"<?pi?>", b"<![CDATB[]]>", b"<!>"])
def test_markup_that_xmpp_forbids_is_an_error(markup: bytes) -> None:
    for pieces in ([markup], [markup[place : place + 1] for place in range(len(markup))]):
        counter = TagCounter(1)
        with pytest.raises(SessionError, match="restricted-xml"):
            for piece in pieces:
                counter.skip(piece)


def test_the_counter_keeps_no_bytes() -> None:
    counter = TagCounter(1)
    for data in (b"x" * 100_000, b"<![CDATA[" + b"y" * 100_000, b"z]]><a b='" + b"v" * 100_000):
        assert counter.skip(data) == -1
        assert len(counter._before) < 10


@given(st.lists(st.sampled_from(list(ELEMENTS.values())), max_size=4), st.integers(1, 9))
def test_the_end_of_any_nested_elements_is_found(elements: list[bytes], size: int) -> None:
    data = b"<m>" + b" ".join(elements) + b"</m>"
    counter = TagCounter(0)
    ends = [counter.skip(data[start : start + size]) for start in range(0, len(data), size)]
    assert set(ends[:-1]) <= {-1}
    assert ends[-1] == len(data) - (len(ends) - 1) * size
