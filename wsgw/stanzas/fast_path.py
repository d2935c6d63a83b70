"""Recognises common stanzas: few levels, no prefixes, nothing unusual; such a stanza needs no parser.

``docs/decisions/common-stanzas.md`` has the grammar. ``ShallowStanzas`` follows it with one regular
expression, which takes at most half as long as expat with its handlers; ``NativeStanzas`` follows it in C,
with wider bounds. Only stanzas that expat would find well-formed match; all others go to a parser.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple, Protocol

from wsgw._native.choice import core, when_changed
from wsgw._native.functions import Functions
from wsgw.stanzas.parser import CLIENT, IQ, WHITESPACE, expanded_name
from wsgw.stanzas.plain_text import is_text
from wsgw.stanzas.start_tag import first_tag

#: The namespace of stream management's requests and acknowledgements (XEP-0198).
_STREAM_MANAGEMENT = "urn:xmpp:sm:3"
_NAMES = {
    **{name.encode(): expanded_name(CLIENT, name) for name in ("message", "presence", "iq")},
    **{name.encode(): expanded_name(_STREAM_MANAGEMENT, name) for name in ("r", "a")},
}
#: In the order of ``Kind`` in ``stanza.h``.
_KINDS = tuple(_NAMES.values())

#: The event of stanzas that are in frames already; no element can have this name.
FRAMES = "frames"


class Bounds(NamedTuple):
    """The bounds of a common stanza: the most bytes, levels of elements, and attributes of one element."""

    size: int
    levels: int
    attributes: int


#: Of the expression: the memory that a match takes for backtracking grows with the elements.
SHALLOW_SIZE, SHALLOW_DEPTH, SHALLOW_ATTRIBUTES = SHALLOW = Bounds(2048, 5, 6)
#: Of the functions in C, whose time is linear in the size: an archived, encrypted message has seven levels.
NATIVE_BOUNDS = Bounds(256 * 1024, 16, 16)
#: Bytes of a stanza above which the framing decides about declarations by the words in it (``xmpp/framing``).
MAX_FRAMED = 64 * 1024
_FRAMED_BOUNDS = NATIVE_BOUNDS._replace(size=MAX_FRAMED)

#: A value without quotes in it: a lookahead could not tell a name from a value after such a quote. The bound
#: keeps a failure cheap.
_VALUE = rb"""(?:'[ !#-&(-;=?-\xff]{0,999}'|"[ !#-&(-;=?-\xff]{0,999}")"""
#: Namespaces of the W3C, among them those that no element may declare (Namespaces in XML 1.0 section 3).
_RESERVED = rb"""xmlns=.http://www\.w3\.org/"""
#: Text up to the next tag; because a literal follows, a failure does not try each shorter text.
_TEXT = rb"[\t\n\r -;=?-\xff]*(?:<|(?:(?<!\]\])>[\t\n\r -;=?-\xff]*)+<)"
_NAME = rb"[a-zA-Z][a-zA-Z0-9_.-]{0,31}"
_NUMBER = rb"9|1[03]|3[2-9]|[4-9][0-9]|[1-9][0-9]{2,3}|[1-4][0-9]{4}|1[0-9]{5}"
_REFERENCE = re.compile(rb"&(?:amp|lt|gt|apos|quot|#(?:" + _NUMBER + rb"));")
_WHITE_SPACE = re.compile(rb"[ \t\r\n]+")
#: The group with the name of an acknowledgement: after the groups of each level, a name and attributes.
_ACK = SHALLOW_DEPTH * (1 + SHALLOW_ATTRIBUTES) + 1
#: A reference could spell a namespace that is reserved.
_REFERENCE_IN_NAMESPACE = re.compile(rb"""xmlns=['"][^'"<]*&""")


def _declaration(namespace: str) -> bytes:
    return rb"""xmlns=(?:'%s'|"%s")""" % (namespace.encode(), namespace.encode())


def _other_than(namespace: str) -> bytes:
    return rb"""xmlns=(?!.%s['"])""" % namespace.encode()


def _attributes(group: int, but: bytes) -> bytes:
    """A pattern of up to ``SHALLOW_ATTRIBUTES`` attributes, no name twice and none that begins like ``but``.

    The names are in groups from ``group`` on.
    """
    pattern = b""
    for number in reversed(range(SHALLOW_ATTRIBUTES)):
        others = b"".join(rb"|\%d=" % (group + before) for before in range(number))
        pattern = rb"(?: (?!" + but + others + rb")(xml:lang|" + _NAME + rb")=" + _VALUE + pattern + rb"|)"
    return pattern


def _content(level: int, group: int) -> bytes:
    """A pattern of an element on ``level`` after its attributes; its name is in ``group``."""
    end = rb"/\%d>" % group
    if level < SHALLOW_DEPTH:
        child = group + 1 + SHALLOW_ATTRIBUTES
        tag = rb"(" + _NAME + rb")" + _attributes(child + 1, _RESERVED)
        children = rb"(?:" + tag + _content(level + 1, child) + _TEXT + rb"){1,99}"
        end = rb"(?:" + end + rb"|" + children + end + rb")"
    return rb"(?: ?/>|>" + _TEXT + end + rb")"


def _stanza(declared: bytes) -> re.Pattern[bytes]:
    """A pattern of a stanza, with its name in group 1, or of an acknowledgement, with its in ``_ACK``."""
    stanza = rb"<(message|presence|iq)" + declared + _attributes(2, _other_than(CLIENT)) + _content(1, 1)
    ack = rb"<([ra])(?=[^>]{0,9999} " + _declaration(_STREAM_MANAGEMENT) + rb")"
    return re.compile(
        stanza + rb"|" + ack + _attributes(_ACK + 1, _other_than(_STREAM_MANAGEMENT)) + rb" ?/>"
    )


#: For streams whose default namespace is ``jabber:client``, and for stanzas that must declare it.
_inheriting = _stanza(b"")
_declaring = _stanza(rb"(?=[^>]{0,9999} " + _declaration(CLIENT) + rb")")


class CommonStanzas(Protocol):
    """Recognises common stanzas whose namespace bindings are those of one stream header."""

    def name_of(self, text: bytes) -> str | None:
        """Return the expanded name if ``text`` is one common stanza, otherwise None."""

    def take(self, data: bytes, events: list[tuple[str, bytes]]) -> bytes:
        """Append to ``events`` (expanded name, bytes) of the common stanzas at the start of ``data``.

        White space between them is dropped. Returns the rest of ``data``.
        """


class ShallowStanzas:
    """``CommonStanzas`` within ``SHALLOW``; they inherit the bindings of the start tag ``root``."""

    __slots__ = ("_match",)

    def __init__(self, root: bytes) -> None:
        self._match = (_inheriting if _inherits(root) else _declaring).match

    def name_of(self, text: bytes) -> str | None:
        """Recognise one stanza."""
        if len(text) > SHALLOW_SIZE:
            return None
        found = self._match(text)
        if found is None or found.end() != len(text) or not _is_known_text(text):
            return None
        return _NAMES[found[1] or found[_ACK]]

    def take(self, data: bytes, events: list[tuple[str, bytes]]) -> bytes:
        """Recognise the stanzas at the start of ``data``."""
        if not _is_known_text(data):
            return data
        start = 0
        while start != len(data):
            if len(data) - start > SHALLOW_SIZE and not _may_end(data, start):
                break
            found = self._match(data, start, start + SHALLOW_SIZE)
            if found is not None:
                events.append((_NAMES[found[1] or found[_ACK]], found[0]))
            elif data[start] not in WHITESPACE or (found := _WHITE_SPACE.match(data, start)) is None:
                break
            start = found.end()
        return data[start:] if start else data


class NativeStanzas:
    """``CommonStanzas`` within ``bounds``; they inherit the bindings of the start tag ``root``."""

    __slots__ = ("_bounds", "_inherits", "_kind_of", "_take_stanzas")

    def __init__(self, native: Functions, root: bytes, bounds: Bounds = NATIVE_BOUNDS) -> None:
        self._kind_of = native.kind_of
        self._take_stanzas = native.take_stanzas
        self._inherits = _inherits(root)
        self._bounds = bounds

    def name_of(self, text: bytes) -> str | None:
        """Recognise one stanza."""
        kind = self._kind_of(text, self._inherits, *self._bounds)
        return _KINDS[kind] if kind >= 0 else None

    def take(self, data: bytes, events: list[tuple[str, bytes]]) -> bytes:
        """Recognise the stanzas at the start of ``data``."""
        place = self._take_stanzas(data, events, _KINDS, self._inherits, *self._bounds)
        return data[place:] if place else data


class FramedStanzas:
    """Makes frames of one session's common stanzas; all others are elements."""

    __slots__ = ("_count", "_declaration", "_elements", "_frames_of_stanzas", "_inherits")

    def __init__(self, native: Functions, root: bytes, declaration: bytes, elements: CommonStanzas) -> None:
        self._frames_of_stanzas = native.frames_of_stanzas
        self._declaration = declaration
        self._inherits = _inherits(root)
        self._elements = elements
        self._count = 0

    def take(self, data: bytes, events: list[tuple[str, bytes]]) -> bytes:
        """As ``CommonStanzas.take``; an event ``FRAMES`` has the frames of the first stanzas."""
        frames, elements, stanzas, place = self._frames_of_stanzas(
            data, self._declaration, self._inherits, *_FRAMED_BOUNDS
        )
        if elements:
            self._count += stanzas
            events.append((FRAMES, frames))
        if place == len(data):
            return b""
        rest = data[place:]
        return self._elements.take(rest, events) if len(rest) > MAX_FRAMED else rest

    def take_count(self) -> int:
        """Return the number of stanzas in frames since the last call."""
        count, self._count = self._count, 0
        return count


def _inherits(root: bytes) -> bool:
    """Whether the default namespace inside the start tag ``root`` is ``jabber:client``."""
    name, _ = first_tag(root, b"<iq/>")
    return name == IQ


def _is_known_text(data: bytes) -> bool:
    """Whether ``data`` is UTF-8 of XML characters, with the references of the grammar only."""
    return is_text(data) and (b"&" not in data or _has_known_references(data))


def _has_known_references(data: bytes) -> bool:
    return data.count(b"&") == len(_REFERENCE.findall(data)) and not _REFERENCE_IN_NAMESPACE.search(data)


def _may_end(data: bytes, start: int) -> bool:
    """Whether the stanza that begins at ``start`` seems to be short enough to match."""
    end = start + SHALLOW_SIZE
    return (
        data.find(b"</message>", start, end) >= 0
        or data.find(b"</iq>", start, end) >= 0
        or data.find(b"</presence>", start, end) >= 0
    )


def common_bounds(size: int, levels: int, attributes: int) -> Bounds | None:
    """Return the bounds of the native functions that keep the limits of a stream or a client.

    None in pure Python, or if a limit is below ``SHALLOW``.
    """
    if core() is None or size < SHALLOW_SIZE or levels < SHALLOW_DEPTH or attributes < SHALLOW_ATTRIBUTES:
        return None
    return Bounds(*map(min, (size, levels, attributes), NATIVE_BOUNDS))


def framed_stanzas(root: bytes, size: int, declaration: bytes) -> FramedStanzas | None:
    """Return a maker of frames for one session inside ``root``; None in pure Python, or if ``size`` is small.

    ``declaration`` is inserted into each first tag that does not declare its namespace.
    """
    native, elements = core(), common_stanzas(root, size)
    if native is None or elements is None or size < MAX_FRAMED:
        return None
    return FramedStanzas(native, root, declaration, elements)


@lru_cache(maxsize=64)
def common_stanzas(
    root: bytes,
    size: int = NATIVE_BOUNDS.size,
    levels: int = NATIVE_BOUNDS.levels,
    attributes: int = NATIVE_BOUNDS.attributes,
) -> CommonStanzas | None:
    """Return a recogniser of stanzas inside ``root`` that keep the limits of a stream or a client.

    None if a limit is below ``SHALLOW``. All sessions whose streams have the same bindings share one.
    """
    if size < SHALLOW_SIZE or levels < SHALLOW_DEPTH or attributes < SHALLOW_ATTRIBUTES:
        return None
    native, bounds = core(), common_bounds(size, levels, attributes)
    if native is None or bounds is None:
        return ShallowStanzas(root)
    return NativeStanzas(native, root, bounds)


when_changed.append(common_stanzas.cache_clear)
