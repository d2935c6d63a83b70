"""The functions in C on whole chunks give what Python gives piece by piece, and hand back the first doubt."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests._native.stanzas import REAL, mutated
from tests.support.both_ways import needs_native
from tests.test_websocket_frame import frame, text
from wsgw._native.choice import core
from wsgw.stanzas.fast_path import NATIVE_BOUNDS, NativeStanzas
from wsgw.stanzas.parser import CLIENT
from wsgw.websocket_frame import Opcode, make

pytestmark = needs_native
NATIVE: Any = core()

MESSAGES = b"<messages>"
HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
DECLARATION = b" xmlns='jabber:client'"
DECLARED = DECLARATION.strip()
MAX = 1 << 20


def is_stanza(element: bytes) -> bool:
    return element[1:3] not in (b"r ", b"a ")


# -- from the browser ------------------------------------------------------------------------------


def taken_from_browser(data: bytes, max_size: int = MAX) -> tuple[bytes, int, int, int]:
    result: tuple[bytes, int, int, int] = NATIVE.stanzas_of_frames(data, 0, max_size, *NATIVE_BOUNDS)
    return result


def test_the_stanzas_of_several_frames_are_joined() -> None:
    data = b"".join(map(text, REAL))
    assert taken_from_browser(data) == (b"".join(REAL), len(REAL), sum(map(is_stanza, REAL)), len(data))


def test_frames_are_read_from_a_place_on() -> None:
    data = b"before" + text(REAL[0])
    assert NATIVE.stanzas_of_frames(data, 6, MAX, *NATIVE_BOUNDS) == (REAL[0], 1, 1, len(data))


@pytest.mark.parametrize("stanza", REAL)
def test_an_incomplete_frame_is_handed_back_at_every_split_point(stanza: bytes) -> None:
    first = text(REAL[0])
    data = first + text(stanza)
    for end in range(len(first), len(data)):
        assert taken_from_browser(data[:end]) == (REAL[0], 1, 1, len(first))


@pytest.mark.parametrize(
    "uncommon",
    [
        frame(Opcode.PING, b"x"),
        frame(Opcode.BINARY, REAL[0]),
        text(REAL[0], final=False),
        text(REAL[0] + b" "),
        text(REAL[0] + REAL[0]),
        text(REAL[0][:-1]),
        text(REAL[0].replace(b" " + DECLARED, b"")),
        text(b"<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"),
        frame(Opcode.TEXT, REAL[0], mask=None),
    ],
)
def test_the_first_uncommon_frame_and_all_after_it_are_handed_back(uncommon: bytes) -> None:
    for before in range(3):
        begun = text(REAL[1]) * before
        expected = (REAL[1] * before, before, before, len(begun))
        assert taken_from_browser(begun + uncommon + text(REAL[0])) == expected


@given(st.lists(mutated, max_size=4), st.integers(1, 2000))
def test_frames_are_taken_as_long_as_each_is_a_common_stanza(payloads: list[bytes], max_size: int) -> None:
    recogniser = NativeStanzas(NATIVE, MESSAGES)
    count = 0
    for payload in payloads:
        if len(payload) > max_size or recogniser.name_of(payload) is None:
            break
        count += 1
    taken = payloads[:count]
    expected = (b"".join(taken), count, sum(map(is_stanza, taken)), sum(len(text(one)) for one in taken))
    assert taken_from_browser(b"".join(map(text, payloads)), max_size) == expected


# -- from the server -------------------------------------------------------------------------------


def taken_from_server(data: bytes, *, inherits: bool = True) -> tuple[bytes, int, int, int]:
    result: tuple[bytes, int, int, int] = NATIVE.frames_of_stanzas(
        data, DECLARATION, inherits, *NATIVE_BOUNDS
    )
    return result


def framed(element: bytes) -> bytes:
    """The frame of a stanza whose first tag declares its namespace, or declares none."""
    tag = element[: element.index(b">")]
    name = (
        element[: min(tag.find(end) for end in (b" ", b"/", b">") if tag.find(end) > 0)]
        if b" " in tag
        else tag
    )
    if b" xmlns=" in tag:
        return make(element)
    return make(name + DECLARATION + element[len(name) :])


def test_each_stanza_of_a_chunk_becomes_a_frame_that_declares_its_namespace() -> None:
    inherited = [one.replace(b" xmlns='jabber:client'", b"", 1) for one in REAL]
    elements = [*REAL, *inherited] * 3
    data = b"\n".join(elements) + b" \r\n"
    expected = b"".join(map(framed, elements))
    assert taken_from_server(data) == (expected, len(elements), sum(map(is_stanza, elements)), len(data))


@pytest.mark.parametrize("name", [b"message", b"presence", b"iq"])
def test_the_declaration_goes_after_the_name(name: bytes) -> None:
    for rest in (b"/>", b" />", b" id='1'/>", b"></%s>" % name):
        expected = make(b"<" + name + DECLARATION + rest)
        assert taken_from_server(b"<" + name + rest)[0] == expected


@pytest.mark.parametrize("stanza", REAL)
def test_an_incomplete_stanza_is_handed_back_at_every_split_point(stanza: bytes) -> None:
    data = REAL[0] + stanza
    for end in range(len(REAL[0]), len(data)):
        assert taken_from_server(data[:end]) == (make(REAL[0]), 1, 1, len(REAL[0]))


def test_a_stanza_must_declare_what_it_does_not_inherit() -> None:
    stanza = b"<iq/>"
    assert taken_from_server(stanza, inherits=False) == (b"", 0, 0, 0)
    assert taken_from_server(REAL[0], inherits=False)[3] == len(REAL[0])


@given(st.lists(mutated, max_size=5), st.sampled_from([b"", b" ", b"\n\t"]))
def test_a_chunk_gives_the_frames_of_its_stanzas(elements: list[bytes], between: bytes) -> None:
    data = between.join(elements)
    events: list[tuple[str, bytes]] = []
    rest = NativeStanzas(NATIVE, HEADER).take(data, events)
    names = [name for name, _ in events]
    expected = b"".join(framed(element) for _, element in events)
    counts = len(events), sum(name.startswith(CLIENT) for name in names)
    assert taken_from_server(data) == (expected, *counts, len(data) - len(rest))


def test_many_small_stanzas_outgrow_the_first_room() -> None:
    assert taken_from_server(b"<iq/>" * 10_000)[0] == make(b"<iq%s/>" % DECLARATION) * 10_000


# -- arguments and references ----------------------------------------------------------------------

BOUNDS = tuple(NATIVE_BOUNDS)
CALLS: dict[str, tuple[Any, ...]] = {
    "unmask": (b"payload", b"mask"),
    "text_frame": (text(b"x"), 0, 10),
    "kind_of": (REAL[0], True, *BOUNDS),
    "take_stanzas": (REAL[0] * 2, [], ("a", "b", "c", "d", "e"), True, *BOUNDS),
    "stanzas_of_frames": (text(REAL[0]) * 2, 0, MAX, *BOUNDS),
    "frames_of_stanzas": (REAL[0] * 2, DECLARATION, True, *BOUNDS),
}


@pytest.mark.parametrize("name", CALLS)
def test_wrong_arguments_raise(name: str) -> None:
    function, arguments = getattr(NATIVE, name), CALLS[name]
    function(*arguments)
    with pytest.raises(TypeError):
        function(*arguments[:-1])
    with pytest.raises(TypeError):
        function(*arguments, None)
    for place, argument in enumerate(arguments):
        if isinstance(argument, bytes):
            with pytest.raises(TypeError):
                function(*arguments[:place], "text", *arguments[place + 1 :])
        elif type(argument) is int:
            for wrong, error in (("text", TypeError), (-1, OverflowError), (1 << 70, OverflowError)):
                with pytest.raises(error):
                    function(*arguments[:place], wrong, *arguments[place + 1 :])


def test_other_wrong_arguments_raise() -> None:
    with pytest.raises(ValueError, match="four bytes"):
        NATIVE.unmask(b"payload", b"msk")
    with pytest.raises(ValueError, match="after the end"):
        NATIVE.text_frame(b"", 1, 10)
    with pytest.raises(IndexError):
        NATIVE.take_stanzas(REAL[0], [], (), True, *BOUNDS)
    with pytest.raises(SystemError):
        NATIVE.take_stanzas(REAL[0], (), CALLS["take_stanzas"][2], True, *BOUNDS)


@pytest.mark.parametrize("levels", [0, 1, 16, 17, 1 << 62])
def test_bounds_above_the_room_count_as_the_room(levels: int) -> None:
    deep = b"<iq>%s%s</iq>" % (b"<a>" * 16, b"</a>" * 16)
    crowded = b"<iq%s/>" % b"".join(b" a%d=''" % number for number in range(17))
    assert NATIVE.kind_of(deep, True, MAX, levels, 16) == -1
    assert NATIVE.kind_of(crowded, True, MAX, 16, levels) == -1
    assert NATIVE.kind_of(b"<iq/>", True, MAX, levels, levels) == 2


@pytest.mark.parametrize("name", CALLS)
def test_no_reference_is_lost(name: str) -> None:
    """Each call frees all that it has allocated, also one that raises."""
    function, arguments = getattr(NATIVE, name), CALLS[name]

    def wrong() -> None:
        with pytest.raises(TypeError):
            function(*arguments[:-1], None)

    def call() -> None:
        function(*[[] if isinstance(argument, list) else argument for argument in arguments])

    calls: list[Callable[[], None]] = [call] if name == "unmask" else [call, wrong]
    for one in calls:
        counts = [sys.getrefcount(argument) for argument in arguments]
        one()
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(2000):
            one()
        gc.collect()
        assert sys.getallocatedblocks() - before < 100
        assert [sys.getrefcount(argument) for argument in arguments] == counts
