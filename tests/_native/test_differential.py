"""The recogniser in C, the one in Python and expat agree on stanzas of any bytes.

The recognisers follow one grammar (docs/decisions/common-stanzas.md) with different bounds. So the one in C
recognises each stanza that the expression recognises; the expression recognises each stanza that the one in
C recognises within the narrower bounds; and expat accepts each of them.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests._native.stanzas import REAL, mutated
from tests.support.both_ways import needs_native
from wsgw._native.choice import core
from wsgw.errors import SessionError
from wsgw.stanzas.client import ClientStanzas
from wsgw.stanzas.fast_path import SHALLOW, NativeStanzas, ShallowStanzas

pytestmark = needs_native
NATIVE: Any = core()

HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
COMPONENT = HEADER.replace(b"jabber:client", b"jabber:component:accept")
ROOTS = (b"<messages>", HEADER, COMPONENT)


def by_expat(root: bytes, text: bytes) -> str | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsgw.stanzas.client.common_stanzas", lambda *_, **__: None)
        checker = ClientStanzas(root, 100, 100)
    try:
        name, _ = checker.check(text)
    except SessionError:
        return None
    return name


def compare(root: bytes, text: bytes) -> bool:
    """Compare the three ways; return whether the recogniser in C took the text."""
    wide = NativeStanzas(NATIVE, root).name_of(text)
    narrow = NativeStanzas(NATIVE, root, SHALLOW).name_of(text)
    assert ShallowStanzas(root).name_of(text) == narrow, text
    assert narrow is None or wide == narrow, text
    assert wide is None or wide == by_expat(root, text), text
    return wide is not None


@given(mutated, st.sampled_from(ROOTS))
def test_all_ways_agree_on_changed_stanzas(text: bytes, root: bytes) -> None:
    compare(root, text)


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("stanza", REAL)
def test_all_ways_agree_on_every_byte_changed(stanza: bytes, root: bytes) -> None:
    """One byte of a real stanza is another one, is missing, or is there twice."""
    assert compare(root, stanza)
    chosen = random.Random(7)
    for place in range(0, len(stanza), 1 + len(stanza) // 300):
        before, after = stanza[:place], stanza[place + 1 :]
        for byte in (b"", b"<", b">", b"&", b"'", b" ", b"\n", b"\x00", b"\x80", chosen.randbytes(1)):
            compare(root, before + byte + after)
        compare(root, before + stanza[place : place + 1] * 2 + after)


@given(st.lists(mutated, max_size=5), st.sampled_from([b"", b"\n"]), st.sampled_from(ROOTS))
def test_both_recognisers_take_the_same_of_a_chunk(
    elements: list[bytes], between: bytes, root: bytes
) -> None:
    """The expression looks at a whole chunk first, so that it may take less; it never takes anything else."""
    data = between.join(elements)
    pure: list[tuple[str, bytes]] = []
    narrow: list[tuple[str, bytes]] = []
    ShallowStanzas(root).take(data, pure)
    NativeStanzas(NATIVE, root, SHALLOW).take(data, narrow)
    assert narrow[: len(pure)] == pure
