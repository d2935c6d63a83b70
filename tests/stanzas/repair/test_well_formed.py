"""Namespace-well-formed stanzas pass byte for byte."""

from __future__ import annotations

import pytest

from tests.stanzas.repair.feeding import KIB, message, passed
from wsgw.stanzas.cutter import SMALL, SMALL_SIZE, TAG_LIMIT

WELL_FORMED = {
    "a blank in a namespace": b"<x xmlns='urn:example:thing '/>",
    "blanks only": b"<p:x xmlns:p='  '/>",
    "a tab": b"<x xmlns='urn:\tx'/>",
    "a line break": b"<p:x xmlns:p='urn:\n'><p:y p:z=''/></p:x>",
    "references to white space": b"<x xmlns='&#32;&#9;&#10;&#13;'/>",
    "a separator of others": b"<x xmlns='urn:|x}'/>",
    "a long namespace": b"<x xmlns='%s'><y/></x>" % (b"u" * 5000),
    "a very long namespace": b"<p:x xmlns:p='%s' p:y=''>%s</p:x>" % (b"u" * 300 * KIB, b"<p:a/>" * 9000),
    "the deepest": b"<a>" * (SMALL.depth - 1) + b"</a>" * (SMALL.depth - 1),
    "20 000 names": b"".join(b"<n%d a%d=''/>" % (number, number) for number in range(20_000)),
    "20 000 attributes": b"<x %s/>" % b" ".join(b"a%d=''" % number for number in range(20_000)),
    "20 000 prefixes": b"<x %s/>" % b" ".join(b"xmlns:p%d='u'" % number for number in range(20_000)),
    "other scripts": "<é xmlns='ü'>日本</é>".encode(),
    "CDATA": b"<a><![CDATA[<p:b>]]></a>",
    "long CDATA like a tag": b"<a><![CDATA[ <%s> ]]></a>" % (b"x" * (TAG_LIMIT + 1)),
    "long CDATA like a costly tag": b"<a><![CDATA[<a xmlns:p='%s' %s>]]></a>"
    % (b"u" * 9000, b" ".join(b"p:a%d=''" % number for number in range(1000))),
    "attributes in a long namespace": b"<x><p:x xmlns:p='%s' %s/>t</x>"
    % (b"u" * 9000, b" ".join(b"p:a%d=''" % number for number in range(1000))),
}


@pytest.mark.rule("xml-stanza")
@pytest.mark.parametrize("content", WELL_FORMED.values(), ids=WELL_FORMED)
def test_a_well_formed_stanza_passes_byte_for_byte(content: bytes) -> None:
    stanza = message(content)
    for size in (1 << 30, 64 * KIB, 999):
        assert passed(stanza * 2, size) == [stanza] * 2


def test_a_megabyte_of_anything_passes_byte_for_byte() -> None:
    content = (
        b"<a>" * 3000 + b"</a>" * 3000 + b"".join(b"<n%d/>" % number for number in range(100_000, 205_000))
    )
    stanza = message(content[: 21_000 + (SMALL_SIZE - 21_100) // 10 * 10])
    assert SMALL_SIZE - 200 < len(stanza) <= SMALL_SIZE
    assert passed(stanza) == [stanza]
