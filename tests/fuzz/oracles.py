"""Models that the targets compare wsgw with, written without its code."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple
from xml.parsers import expat

from tests.support.wire import CLOSE, PING, PONG, TEXT, frame

#: The separator of the records of an input; bytes that neither XML nor HTTP allows.
SEPARATOR = b"\x1e"
#: More records make an input slower, not deeper.
MAX_RECORDS = 64

#: (event, ...) of expat, with adjacent texts joined.
Tree = list[tuple[object, ...]]


def records(data: bytes) -> list[bytes]:
    """The records of an input."""
    return data.split(SEPARATOR)[:MAX_RECORDS]


def chunkings(data: bytes) -> Iterator[list[bytes]]:
    """``data`` in pieces: by the checksum of the input, and byte by byte."""
    chance = random.Random(zlib.crc32(data))
    places = sorted({chance.randrange(1, len(data)) for _ in range(1 + len(data) // 16)} if data[1:] else ())
    yield [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    yield [data[place : place + 1] for place in range(len(data))]


def tree(text: bytes, root: bytes = b"") -> Tree:
    """The events of an independent parser for ``text``, inside the start tag ``root`` if there is one.

    Raises ExpatError; without ``root`` also if ``text`` is not one whole document.
    """
    parser = expat.ParserCreate("utf-8", "\x01")
    parser.ordered_attributes = True
    if hasattr(parser, "SetReparseDeferralEnabled"):
        parser.SetReparseDeferralEnabled(False)
    parser.Parse(root)
    seen: Tree = []

    def start(name: str, attributes: list[str]) -> None:
        pairs = list(zip(attributes[::2], attributes[1::2], strict=True))
        seen.append(("start", name, tuple(pairs)))

    def characters(data: str) -> None:
        if seen and seen[-1][0] == "text":
            data = f"{seen.pop()[1]}{data}"
        seen.append(("text", data))

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: seen.append(("end", name))
    parser.CharacterDataHandler = characters
    parser.CommentHandler = lambda data: seen.append(("comment", data))
    parser.ProcessingInstructionHandler = lambda target, data: seen.append(("instruction", target, data))
    parser.StartDoctypeDeclHandler = lambda *arguments: seen.append(("doctype", *arguments))
    parser.Parse(text, not root)
    if root:
        parser.Parse(b"</%s>" % re.split(rb"[\s/>]", root[root.rindex(b"<") + 1 :])[0], True)
        seen.pop()
    return seen


class _Element(NamedTuple):
    """The place of an element in a text, by a parser without namespaces."""

    start: int
    end: int
    #: Its start tag, left open; the start tags around it, from the outermost.
    tag: bytes
    around: tuple[bytes, ...]


def stanzas_of(header: bytes, data: bytes) -> tuple[list[bytes | None], bool]:
    """The required result of ``data`` after a server's ``header``, and whether the stream must continue.

    None means that the result only has to be well-formed.
    """
    places, failed = _first_level(header, data)
    outcome: list[bytes | None] = []
    position = 0
    for start, end in places:
        if data[position:start].strip(b" \t\r\n"):
            return outcome, False
        position = end
        stanza = data[start:end]
        if _is_faulty(header, stanza):
            name = _stanza_name(header, stanza)
            if name not in ("message", "presence", "iq"):
                return outcome, False
            result = repaired(header, stanza)
            assert result is not None, stanza
            outcome.append(result if name != "iq" else None)
        else:
            outcome.append(stanza)
    return outcome, not failed and not data[position:].strip(b" \t\r\n")


def _first_level(header: bytes, data: bytes) -> tuple[list[tuple[int, int]], bool]:
    """(start, end) of the whole elements of the first level, and whether a parser refuses the bytes."""
    places: list[tuple[int, int]] = []
    depth = started = 0
    parser = expat.ParserCreate("utf-8")

    def start(_name: str, _attributes: object) -> None:
        nonlocal depth, started
        depth += 1
        if depth == 2:
            started = parser.CurrentByteIndex - len(header)

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1
        if depth == 1:
            places.append((started, _end(data, started, parser.CurrentByteIndex - len(header))))

    if hasattr(parser, "SetReparseDeferralEnabled"):
        parser.SetReparseDeferralEnabled(False)
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CommentHandler = parser.ProcessingInstructionHandler = _not_xml
    parser.Parse(header)
    try:
        parser.Parse(data)
    except expat.ExpatError:
        return places, True
    return places, False


def _end(text: bytes, start: int, seen: int) -> int:
    """The end of the element that starts at ``start``; ``seen`` is the position by expat."""
    tag = _TAG.match(text, start)
    assert tag is not None
    return tag.end() if tag[0].endswith(b"/>") else text.index(b">", seen) + 1


def _stanza_name(header: bytes, stanza: bytes) -> str:
    """The local name of an element of jabber:client whose tag may be faulty, empty for any other."""
    tag = _TAG.match(stanza)
    assert tag is not None
    bare = _without_attributes(tag[0])
    try:
        name = str(tree(bare[:-1] + b"/>", header)[0][1])
    except expat.ExpatError:
        return ""
    return name.removeprefix("jabber:client\x01") if name.startswith("jabber:client\x01") else ""


def content(element: bytes) -> bytes:
    """The bytes after an element's start tag."""
    tag = _TAG.match(element)
    assert tag is not None
    return element[tag.end() :]


def repaired(header: bytes, stanza: bytes) -> bytes | None:
    """The required result of a server's stanza; None if it is not XML.

    A parser without namespaces finds the places of its elements, and one with namespaces checks each start
    tag, inside the tags around it. The stanza's own tag is returned without its attributes if it is faulty.
    """
    try:
        elements = _elements(stanza)
    except expat.ExpatError:
        return None
    root = elements[0].tag
    if _is_faulty(header, root):
        root = _without_attributes(root)
    result = bytearray()
    position = (
        len(elements[0].tag)
        if elements[0].tag == stanza[: len(elements[0].tag)]
        else len(elements[0].tag) + 1
    )
    result += root if elements[0].end > position else root[:-1] + b"/>"
    for element in elements[1:]:
        if element.start >= position and _is_faulty(header, root, *element.around[1:], element.tag):
            result += stanza[position : element.start]
            position = element.end
    return bytes(result + stanza[position:])


def _elements(text: bytes) -> list[_Element]:
    parser = expat.ParserCreate("utf-8")
    parser.Parse(b"\n")
    starts: list[int] = []
    ends: dict[int, int] = {}
    open_elements: list[int] = []
    around: dict[int, tuple[int, ...]] = {}

    def start(_name: str, _attributes: object) -> None:
        place = parser.CurrentByteIndex - 1
        around[place] = tuple(open_elements)
        starts.append(place)
        open_elements.append(place)

    def end(_name: str) -> None:
        ends[open_elements.pop()] = parser.CurrentByteIndex - 1

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CommentHandler = parser.ProcessingInstructionHandler = _not_xml
    parser.Parse(text, True)
    tags = {place: _TAG.match(text, place)[0] for place in starts}  # type: ignore[index]

    opened = {place: tag[:-2] + b">" if tag.endswith(b"/>") else tag for place, tag in tags.items()}
    return [
        _Element(
            place,
            _end(text, place, ends[place]),
            opened[place],
            tuple(opened[outer] for outer in around[place]),
        )
        for place in starts
    ]


_TAG = re.compile(rb"""<[^"'>]*(?:"[^"]*"[^"'>]*|'[^']*'[^"'>]*)*>""")
_DECLARATION = re.compile(rb"""\s(xmlns(?::[^\s=]*)?\s*=\s*(?:"[^"]*"|'[^']*'))""")


def _not_xml(*_what: object) -> None:
    raise expat.ExpatError("not of XMPP")


def _is_faulty(header: bytes, *tags: bytes) -> bool:
    parser = expat.ParserCreate("utf-8", "\x01")
    parser.Parse(header + b"".join(tags[:-1]))
    try:
        parser.Parse(tags[-1])
    except expat.ExpatError:
        return True
    return False


def _without_attributes(tag: bytes) -> bytes:
    name = re.match(rb"<[^\s/>]+", tag)
    assert name is not None
    declared = [b" " + found[1] for found in _DECLARATION.finditer(tag)]
    return name[0] + b"".join(one for one in declared if not _is_faulty(b"", b"<x" + one + b">")) + b">"


def is_one_element(seen: Tree) -> bool:
    """Whether ``seen`` is exactly one element, without anything that XMPP forbids."""
    depth = elements = 0
    for event in seen:
        if event[0] == "start":
            elements += not depth
            depth += 1
        elif event[0] == "end":
            depth -= 1
        elif event[0] != "text" or not depth:
            return False
    return elements == 1 and not depth


class StreamReader:
    """An XMPP server that reads the bytes piece by piece and accepts no invalid ones."""

    def __init__(self) -> None:
        self._parser: expat.XMLParserType | None = None
        self._depth = 0
        self.ended = False

    def feed(self, piece: bytes) -> None:
        """Take a header, a stanza, or the end of the stream; each must be whole."""
        assert not self.ended, f"after the end of the stream: {piece!r}"
        if piece.startswith(b"<?xml"):
            self._open()
        assert self._parser is not None, f"before the stream header: {piece!r}"
        self._parser.Parse(piece)
        self.ended = not self._depth
        assert self._depth <= 1, f"not whole: {piece!r}"

    def _open(self) -> None:
        parser = self._parser = expat.ParserCreate("utf-8", "\x01")
        self._depth = 0
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CommentHandler = parser.StartDoctypeDeclHandler = _refuse
        parser.ProcessingInstructionHandler = _refuse

    def _start(self, name: str, _attributes: object) -> None:
        self._depth += 1
        is_stream = name == "http://etherx.jabber.org/streams\x01stream"
        assert is_stream == (self._depth == 1) or self._depth > 2, f"{name} at depth {self._depth}"

    def _end(self, _name: str) -> None:
        self._depth -= 1


def _refuse(*what: object) -> None:
    raise AssertionError(f"forbidden in XMPP: {what!r}")


def client_frame(payload: bytes, opcode: int = TEXT, *, fin: bool = True, mask: bytes = bytes(4)) -> bytes:
    """A frame of a client, always with the same mask."""
    head = frame(payload, opcode, fin=fin, masked=False)
    start = len(head) - len(payload)
    body = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return head[:1] + bytes((head[1] | 0x80,)) + head[2:start] + mask + body


def server_frames(data: bytes) -> list[tuple[int, bytes]]:
    """The frames of a server as (opcode, payload); each must be whole, unmasked, in its shortest form."""
    frames: list[tuple[int, bytes]] = []
    while data:
        assert not frames or frames[-1][0] != CLOSE, f"after Close: {data!r}"
        first, size = data[:2]
        start = 2 if size < 126 else 4 if size == 126 else 10
        if start > 2:
            size = int.from_bytes(data[2:start], "big")
            assert size >= (126 if start == 4 else 1 << 16)
        assert first - 0x80 in (TEXT, CLOSE, PING, PONG), f"first byte {first:#x}"
        payload, data = data[start : start + size], data[start + size :]
        assert len(payload) == size, "a frame is not whole"
        assert first == 0x80 | TEXT or size < 126
        frames.append((first & 0x0F, payload))
    return frames
