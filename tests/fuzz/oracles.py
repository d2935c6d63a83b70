"""What the targets compare wsgw with, written without it."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterator
from xml.parsers import expat

from wire import CLOSE, PING, PONG, TEXT, frame

#: Between the records of an input that has several; nothing that XML or HTTP allows.
SEPARATOR = b"\x1e"
#: More records make an input slower, not deeper.
MAX_RECORDS = 64

#: (event, ...) as expat tells them, adjacent texts joined.
Tree = list[tuple[object, ...]]


def records(data: bytes) -> list[bytes]:
    """The records of an input."""
    return data.split(SEPARATOR)[:MAX_RECORDS]


def chunkings(data: bytes) -> Iterator[list[bytes]]:
    """``data`` in pieces: as the input's own checksum wants it, and byte by byte."""
    chance = random.Random(zlib.crc32(data))
    places = sorted({chance.randrange(1, len(data)) for _ in range(1 + len(data) // 16)} if data[1:] else ())
    yield [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
    yield [data[place : place + 1] for place in range(len(data))]


def tree(text: bytes, root: bytes = b"") -> Tree:
    """What an independent parser sees in ``text``, inside the start tag ``root`` if there is one.

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


def is_one_element(seen: Tree) -> bool:
    """Whether ``seen`` is one element and nothing beside it, and nothing in it that XMPP forbids."""
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
    """An XMPP server that reads what it is sent, piece by piece, and takes no nonsense."""

    def __init__(self) -> None:
        self._parser: expat.XMLParserType | None = None
        self._depth = 0
        self.ended = False

    def feed(self, piece: bytes) -> None:
        """Take a header, a stanza, or what ends the stream; each must be whole."""
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
    """A frame of a client, the same whenever it is asked for."""
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
