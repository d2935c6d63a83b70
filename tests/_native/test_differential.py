"""The recognisers in C and in Python, and expat, agree on changed stanzas (``tests/fuzz/recognisers.py``)."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests._native.stanzas import REAL, mutated
from tests.fuzz.recognisers import ROOTS, compare, recognisers
from tests.support.both_ways import needs_native
from wsgw._native.choice import core
from wsgw.stanzas.fast_path import SHALLOW, NativeStanzas, ShallowStanzas

pytestmark = needs_native
NATIVE: Any = core()


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


@given(st.lists(mutated, max_size=4), st.sampled_from([b"", b" "]))
def test_chunks_agree_with_their_stanzas(elements: list[bytes], between: bytes) -> None:
    recognisers(between.join(elements))
