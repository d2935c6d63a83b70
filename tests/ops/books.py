"""Traffic of which both ends, browsers and server, keep every byte."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import SupportsIndex

from tests.support.traffic import Traffic

_TEXT = 1


@dataclass
class Kept:
    """One connection's bytes, from the end that keeps them to the gateway and back."""

    sent: bytearray = field(default_factory=bytearray)
    received: bytearray = field(default_factory=bytearray)


class _Reader(asyncio.StreamReader):
    kept: Kept

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        if hasattr(self, "kept"):
            self.kept.received += bytes(data)
        super().feed_data(data)


class _Writer:
    """A writer that keeps the bytes it writes."""

    def __init__(self, writer: asyncio.StreamWriter, kept: Kept) -> None:
        self._writer = writer
        self._kept = kept
        self.transport = writer.transport

    def write(self, data: bytes) -> None:
        self._kept.sent += data
        self._writer.write(data)

    def close(self) -> None:
        self._writer.close()


class KeptTraffic(Traffic):
    """As the base class, with the bytes kept."""

    def __init__(self, ca: Path | None = None) -> None:
        super().__init__(ca)
        self.browsers: list[Kept] = []
        self.servers: list[Kept] = []

    async def _connect(self, port: int, secure: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await super()._connect(port, secure)
        kept = Kept()
        reader.__class__ = _Reader
        assert isinstance(reader, _Reader)
        reader.kept = kept
        self.browsers.append(kept)
        return reader, _Writer(writer, kept)  # type: ignore[return-value]

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kept = Kept()
        kept.received += bytes(reader._buffer)  # type: ignore[attr-defined]
        reader.__class__ = _Reader
        assert isinstance(reader, _Reader)
        reader.kept = kept
        self.servers.append(kept)
        await super()._echo(reader, _Writer(writer, kept))  # type: ignore[arg-type]

    def booked(self) -> Counter[str]:
        """The values that the gateway's counters must have."""
        books: Counter[str] = Counter()
        for kept in self.browsers:
            books["bytes_from_browser"] += len(kept.sent)
            books["bytes_to_browser"] += len(kept.received)
            for direction, data in (("from", kept.sent), ("to", kept.received)):
                for opcode, payload in frames(bytes(data)):
                    books[f"frames_{direction}_browser"] += 1
                    books[f"stanzas_{direction}_client"] += opcode == _TEXT and b"<message " in payload
        for kept in self.servers:
            books["bytes_from_upstream"] += len(kept.sent)
            books["bytes_to_upstream"] += len(kept.received)
        return books


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """(opcode, payload) of whole frames, unmasked."""
    found, at = [], 0
    while at < len(data):
        opcode, size, masked = data[at] & 15, data[at + 1] & 127, data[at + 1] >> 7
        at += 2
        if size == 126:
            size, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        key, at = (data[at : at + 4], at + 4) if masked else (bytes(4), at)
        payload = bytes(byte ^ key[index % 4] for index, byte in enumerate(data[at : at + size]))
        at += size
        found.append((opcode, payload))
    assert at == len(data)
    return found
