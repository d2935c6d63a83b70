"""The target for common stanzas: the recognisers in C and in Python, and expat, agree on any bytes.

They follow one grammar (docs/decisions/common-stanzas.md) with different bounds. So the recogniser in C takes
each stanza that the expression takes; the expression takes each stanza that the one in C takes within the
narrower bounds; and expat accepts each of them. Without the functions in C, the expression alone is compared
with expat.
"""

from __future__ import annotations

from unittest import mock

from tests.fuzz.oracles import client_frame, server_frames
from wsgw._native.choice import core
from wsgw._native.functions import Functions
from wsgw.errors import SessionError
from wsgw.stanzas.client import ClientStanzas
from wsgw.stanzas.fast_path import NATIVE_BOUNDS, SHALLOW, NativeStanzas, ShallowStanzas

HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
COMPONENT = HEADER.replace(b"jabber:client", b"jabber:component:accept")
ROOTS = (b"<messages>", HEADER, COMPONENT)
DECLARATION = b" xmlns='jabber:client'"


def by_expat(root: bytes, text: bytes) -> str | None:
    """The expanded name of the one element in ``text`` according to the parser; None if it is refused."""
    with mock.patch("wsgw.stanzas.client.common_stanzas", return_value=None):
        checker = ClientStanzas(root, 100, 100)
    try:
        name, _ = checker.check(text)
    except SessionError:
        return None
    return name


def compare(root: bytes, text: bytes) -> bool:
    """Compare all ways on one stanza; return whether the recogniser with the widest bounds took it."""
    narrow = wide = ShallowStanzas(root).name_of(text)
    native = core()
    if native is not None:
        wide = NativeStanzas(native, root).name_of(text)
        assert narrow == NativeStanzas(native, root, SHALLOW).name_of(text), text
        assert narrow is None or wide == narrow, text
    assert wide is None or wide == by_expat(root, text), text
    return wide is not None


def recognisers(data: bytes) -> None:
    """A stanza, and the same bytes as a chunk of a server and in frames of a browser."""
    for root in ROOTS:
        compare(root, data)
    native = core()
    if native is not None:
        _chunks(native, data)


def _chunks(native: Functions, data: bytes) -> None:
    events: list[tuple[str, bytes]] = []
    rest = NativeStanzas(native, HEADER).take(data, events)
    for name, element in events:
        assert by_expat(HEADER, element) == name, element
    frames, elements, _, place = native.frames_of_stanzas(data, DECLARATION, True, *NATIVE_BOUNDS)
    assert data[place:] == rest
    payloads = [payload for _, payload in server_frames(frames)]
    assert elements == len(payloads) == len(events)
    for payload, (name, element) in zip(payloads, events, strict=True):
        assert payload in (element, element.replace(_name_of(element), _name_of(element) + DECLARATION, 1))
        assert by_expat(ROOTS[0], payload) == name, payload
    sent = b"".join(map(client_frame, payloads)) + client_frame(data)
    taken, count, _, place = native.stanzas_of_frames(sent, 0, len(sent), *NATIVE_BOUNDS)
    whole = NativeStanzas(native, ROOTS[0]).name_of(data) is not None
    assert (taken, count) == (b"".join(payloads) + data * whole, len(payloads) + whole)
    assert (place == len(sent)) == whole


def _name_of(element: bytes) -> bytes:
    return next(
        name for name in (b"<message", b"<presence", b"<iq", b"<r", b"<a") if element.startswith(name)
    )
