"""Any content, compared with the result of an independent parser."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.fuzz.oracles import is_one_element, repaired, tree
from tests.stanzas.repair.feeding import HEADER, NEXT, fed
from wsgw.stanzas import cutter, repair, server
from wsgw.stanzas.cutter import Bounds
from wsgw.stanzas.server import ServerStream

_PIECES = st.sampled_from([
    b"<a>", b"</a>", b"<a/>", b"<p:a>", b"</p:a>", b"<q:a/>", b"<a xmlns:p='u'>", b"<p:a xmlns:p='u '/>",
    b"<a xmlns='urn: '>", b"<a p:b='' xmlns:p='&#10;'/>", b"<a p:b='' q:b=''/>", b"<b xmlns:q='u'>", b"</b>",
    b"<a xmlns:p='' b=''/>", b"<a xmlns:xml='u'>", b"<stream:a/>", b"<stream:a:b>", b"</stream:a:b>", b"text",
    b"<![CDATA[<p:a>]]>", b"&amp;", b"<a b='<'/>", b"<a b='>'>", b"<a xmlns='%s'>" % (b"u" * 300),
    b"<a xmlns='http://www.w3.org/2000/xmlns/'>", b"<x:1/>", b" ",
])  # fmt: skip


@pytest.mark.rule("xml-stanza")
@given(
    st.lists(_PIECES, max_size=9).map(b"".join),
    st.sampled_from([b"message", b"presence"]),
    st.sampled_from([b"", b" xmlns:p='v'", b" p:a=''", b" xmlns:q='' from='f'"]),
    st.integers(1, 400),
)
@example(b"<p:a><a></p:a></a>", b"message", b"", 400)
def test_any_content_has_the_independent_outcome(content: bytes, name: bytes, tag: bytes, size: int) -> None:
    stanza = b"<%s%s>%s</%s>" % (name, tag, content, name)
    expected = repaired(HEADER, stanza)
    for pieces in (size, 1 << 30):
        stream = fed(stanza, pieces)
        if expected is None:
            assert stream.failure is not None
            continue
        assert stream.failure is None, stream.failure
        result, *following = stream.elements
        assert result.partition(b">")[2] == expected.partition(b">")[2]
        assert following == [NEXT]
        assert bool(stream.repairs) is (result != stanza)


_SMALL_BOUNDS: dict[Any, dict[str, Any]] = {
    cutter: {"SMALL_SIZE": 260, "SMALL": Bounds(6, 1e9), "LARGE": Bounds(4, 9)},
    repair: {
        "SMALL_SIZE": 260,
        "SMALL": Bounds(6, 1e9),
        "LARGE": Bounds(4, 9),
        "TAG_LIMIT": 150,
    },
    server: {"TAG_LIMIT": 150, "_REPAIRED_AT_A_TIME": 64, "_STANZAS_AT_A_TIME": 2},
}
_MORE_PIECES = st.sampled_from([
    b"<a c='%s'/>" % (b"y" * 160), b"<![CDATA[ <%s> ]]>" % (b"z" * 160), b"t" * 150, b"<n1/>", b"<n2 k=''/>",
    b"<n3/>", b"<n4 j=''/>", b"<n5/>", b"<a><a><a><a><b/></a></a></a></a>",
    b"<p:x/>", b"<b><a><a><a><a><a><a>t</a></a><p:a/></a></a></a></a></b>",
])  # fmt: skip


@pytest.mark.slow
@given(
    st.lists(st.lists(_MORE_PIECES, max_size=8).map(b"".join), min_size=1, max_size=4),
    st.sampled_from([b"", b" p:a=''", b" type='get'", b" type='result'", b" z='%s'" % (b"y" * 170)]),
    st.integers(1, 200),
)
def test_small_bounds_hold_for_any_chunks(contents: list[bytes], tag: bytes, size: int) -> None:
    """The bounds are small here, so that short stanzas reach all of them."""
    stanzas = b"".join(b"<iq%s>%s</iq>" % (tag, content) for content in contents) + NEXT
    with ExitStack() as changed:
        for module, bounds in _SMALL_BOUNDS.items():
            changed.enter_context(patch.multiple(module, **bounds))
        outcomes = []
        for pieces in (1 << 30, size, 1):
            stream = ServerStream(700)
            events = stream.feed(HEADER)
            for start in range(0, len(stanzas), pieces):
                events += stream.feed(stanzas[start : start + pieces])
                while stream.busy:
                    events += stream.feed(b"")
            assert stream.failure is None, stream.failure
            assert stream.at_border
            outcomes.append([element for _, element in events])
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert len(outcomes[0]) == len(contents) + 2
    assert outcomes[0][-1] == NEXT
    for element in outcomes[0][1:]:
        assert is_one_element(tree(element, HEADER))
