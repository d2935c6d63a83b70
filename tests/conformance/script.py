"""The vocabulary of a conformance case: the actions of the client, and the required answers of the server.

A case is a dialogue. The bytes between two answers are sent in one write, or in pieces of ``chop`` bytes.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FILLER = b"*"


@dataclass(frozen=True, slots=True)
class Frame:
    """One client frame by RFC 6455 section 5.2.

    ``length`` replaces the length field; ``withheld`` bytes are promised by it and never sent. ``mask`` is 4
    bytes, None for a random one; ``masked`` False leaves it out.
    """

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    masked: bool = True
    mask: bytes | None = None
    length: bytes | None = None
    withheld: int = 0

    def encode(self) -> bytes:
        length = self.length or length_field(len(self.payload) + self.withheld)
        head = bytes((self.fin << 7 | self.rsv << 4 | self.opcode, self.masked << 7 | length[0])) + length[1:]
        if not self.masked:
            return head + self.payload
        mask = self.mask or os.urandom(4)
        return head + mask + xor(self.payload, mask)


@dataclass(frozen=True, slots=True)
class Raw:
    """Octets: the beginning of a frame whose rest is never sent."""

    octets: bytes

    def encode(self) -> bytes:
        return self.octets


@dataclass(frozen=True, slots=True)
class Sized:
    """A message of exactly ``size`` bytes, in fragments of ``fragment`` bytes (0: one frame)."""

    opcode: int
    size: int
    fragment: int = 0

    def frames(self, payload: bytes) -> Iterator[Frame]:
        """The frames that carry ``payload``, which is ``size`` bytes long."""
        step = self.fragment or max(self.size, 1)
        starts = range(0, max(self.size, 1), step)
        for start in starts:
            opcode = CONTINUATION if start else self.opcode
            yield Frame(opcode, payload[start : start + step], fin=start == starts[-1])


@dataclass(frozen=True, slots=True)
class Pause:
    """The bytes so far are a separate write."""


@dataclass(frozen=True, slots=True)
class ServerCloses:
    """Let the server start the closing handshake; its Close is read, and not answered."""


@dataclass(frozen=True, slots=True)
class Fin:
    """The client ends its side of the TCP connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One frame of the server; for a ``Sized`` the message of that many bytes."""

    opcode: int
    payload: bytes | Sized


@dataclass(frozen=True, slots=True)
class Silence:
    """No byte comes, and the connection stays open."""


@dataclass(frozen=True, slots=True)
class End:
    """The server's Close with ``code``, then its FIN at once; code 0: the FIN alone.

    ``error`` is the condition of the XMPP stream error that goes before, where there is XMPP. ``answered``:
    the WebSocket has not failed, so the server waits for the client's Close before its FIN.
    """

    code: int
    error: str = ""
    answered: bool = False


Send = Frame | Raw | Sized | Pause | ServerCloses | Fin
Expect = Answer | Silence | End
Step = Send | Expect


@dataclass(frozen=True)
class Case:
    """``id`` begins with the family, ``section`` is RFC 6455's. Without ``End`` the connection stays."""

    id: str
    section: str
    title: str
    script: tuple[Step, ...]
    chop: int = 0

    @property
    def family(self) -> str:
        return self.id.partition(".")[0]

    def renumbered(self, suffix: str, title: str, **changes: object) -> Case:
        """A variant of this case with other writes."""
        return replace(self, id=f"{self.id}/{suffix}", title=f"{self.title}, {title}", **changes)  # type: ignore[arg-type]


def turns(script: tuple[Step, ...]) -> Iterator[tuple[list[Send], list[Expect]]]:
    """The script as pairs: the actions, then the answers that they must get."""
    sends: list[Send] = []
    expects: list[Expect] = []
    for is_answer, steps in itertools.groupby(script, lambda step: isinstance(step, Expect)):
        if is_answer:
            expects = list(steps)  # type: ignore[arg-type]
            yield sends, expects
            sends = []
        else:
            sends = list(steps)  # type: ignore[arg-type]
    if sends:
        yield sends, []


def xor(payload: bytes, mask: bytes) -> bytes:
    """Section 5.3, fast enough for 16 MiB."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def length_field(size: int) -> bytes:
    """The shortest form (section 5.2), without the mask bit."""
    if size < 126:
        return bytes((size,))
    if size < 1 << 16:
        return b"\x7e" + size.to_bytes(2, "big")
    return b"\x7f" + size.to_bytes(8, "big")


# -- actions of the client -------------------------------------------------------------------------


def text(payload: bytes, *, fin: bool = True, rsv: int = 0, withheld: int = 0) -> Frame:
    return Frame(TEXT, payload, fin, rsv, withheld=withheld)


def binary(payload: bytes, *, fin: bool = True, rsv: int = 0) -> Frame:
    return Frame(BINARY, payload, fin, rsv)


def more(payload: bytes, *, fin: bool = False, rsv: int = 0, withheld: int = 0) -> Frame:
    """A continuation; the last one with ``fin``."""
    return Frame(CONTINUATION, payload, fin, rsv, withheld=withheld)


def ping(payload: bytes = b"", *, fin: bool = True) -> Frame:
    return Frame(PING, payload, fin)


def pong(payload: bytes = b"", *, fin: bool = True) -> Frame:
    return Frame(PONG, payload, fin)


def close(code: int | None = 1000, reason: bytes = b"") -> Frame:
    """A Close; with ``code`` None its body is ``reason`` alone."""
    return Frame(CLOSE, (b"" if code is None else code.to_bytes(2, "big")) + reason)


def fragments(*payloads: bytes, opcode: int = TEXT) -> tuple[Frame, ...]:
    """A message, one frame for each payload."""
    last = len(payloads) - 1
    return tuple(
        Frame(CONTINUATION if index else opcode, payload, fin=index == last)
        for index, payload in enumerate(payloads)
    )


# -- answers of the server -----------------------------------------------------------------------


def echo(payload: bytes, opcode: int = TEXT) -> Answer:
    return Answer(opcode, payload)


def echo_sized(message: Sized) -> Answer:
    return Answer(message.opcode, message)


def ponged(payload: bytes = b"") -> Answer:
    return Answer(PONG, payload)


def fails(code: int = 1002) -> End:
    """The connection is failed with ``code`` (section 7.1.7)."""
    return End(code)


def bad_text() -> End:
    return End(1007, "unsupported-encoding")


def too_big() -> End:
    return End(1009, "policy-violation")


def closed(code: int = 1000) -> End:
    """The client's Close is answered with ``code`` (section 5.5.1)."""
    return End(code)
