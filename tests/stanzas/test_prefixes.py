"""The prefixes that an element uses and does not declare."""

from __future__ import annotations

import time

import pytest

from wsgw.stanzas.prefixes import undeclared_prefixes


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
