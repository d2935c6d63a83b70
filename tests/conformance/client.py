"""Plays a case against a server and reports where the server differs from the script."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from tests.conformance.script import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Answer,
    End,
    Expect,
    Fin,
    Frame,
    Pause,
    Raw,
    ServerCloses,
    Silence,
    Sized,
    Step,
)
from tests.support.wire import Browser

#: The time for an answer: long enough for a busy machine, far below the servers' own deadlines.
SECONDS = 20.0
#: The seconds without an answer that count as none; also the pause between two separate writes.
_SILENCE = 0.1
_PAUSE = 0.005
_PIECE = 64 * 1024
#: The codes that a server may send in a Close (section 7.4.1).
_SERVER_CODES = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))


class Mismatch(AssertionError):
    """The server differs from the script."""


class Client(Browser):
    """A WebSocket client that checks every frame of the server against sections 5.1 and 5.2."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        if not self.head.startswith("HTTP/1.1 101 "):
            raise Mismatch(f"no upgrade: {self.head!r}")
        self.socket.settimeout(SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, size: int) -> bytes:
        if len(self.buffer) >= size:
            return super().read(size)
        data, self.buffer = bytearray(self.buffer), b""
        while len(data) < size:
            chunk = self.socket.recv(min(size - len(data), 4 * _PIECE) if size > _PIECE else _PIECE)
            if not chunk:
                self.buffer = bytes(data)
                raise EOFError(f"TCP ended after {_short(self.buffer)}")
            data += chunk
        self.buffer = bytes(data[size:])
        return bytes(data[:size])

    def frame(self) -> tuple[int, bytes]:
        first, size = self.read(2)
        if first & 0x70 or not first & 0x80 or size & 0x80:
            raise Mismatch(f"a frame that starts {first:#x} {size:#x}")
        opcode = first & 0x0F
        if opcode >= CLOSE and size > 125:
            raise Mismatch("a control frame above 125 octets")
        if size >= 126:
            least, octets = (126, 2) if size == 126 else (65536, 8)
            size = int.from_bytes(self.read(octets), "big")
            if size < least:
                raise Mismatch(f"length {size} not in its shortest form")
        return opcode, self.read(size)

    def write(self, data: bytes, chop: int, *, until_answered: bool) -> None:
        """Send in pieces of ``chop`` bytes; if the end is expected, only until the first answer."""
        size = chop or (_PIECE if until_answered else len(data))
        try:
            for start in range(0, len(data), size):
                if until_answered and start and select.select([self.socket], [], [], 0)[0]:
                    return
                self.socket.sendall(data[start : start + size])
        except OSError:
            if not until_answered:
                raise

    def expect_silence(self) -> None:
        if self.buffer or select.select([self.socket], [], [], _SILENCE)[0]:
            raise Mismatch("an answer where none was due")

    def expect_fin(self) -> None:
        try:
            rest = self.read_to_end(SECONDS)
        except TimeoutError:
            raise Mismatch("TCP was not ended") from None
        except ConnectionResetError:
            raise Mismatch("an RST instead of a FIN") from None
        if rest:
            raise Mismatch(f"after its Close the server sent {_short(rest)}")

    def frames_to_end(self) -> Iterator[tuple[int, bytes]]:
        """Frames up to the end of TCP, or up to and including the first Close."""
        while True:
            try:
                opcode, payload = self.frame()
            except EOFError:
                return
            yield opcode, payload
            if opcode == CLOSE:
                return


def encode(sends: Iterable[Step], payload_of: Callable[[Sized], bytes]) -> Iterator[bytes | Step]:
    """The actions, with each run of frames joined as bytes, and the others unchanged."""
    for is_frame, steps in itertools.groupby(sends, lambda step: isinstance(step, Frame | Raw | Sized)):
        if not is_frame:
            yield from steps
            continue
        frames: list[bytes] = []
        for step in steps:
            if isinstance(step, Sized):
                frames += (frame.encode() for frame in step.frames(payload_of(step)))
            elif isinstance(step, Frame | Raw):
                frames.append(step.encode())
        yield b"".join(frames)


def send(
    client: Client,
    sends: Iterable[Step],
    chop: int,
    payload_of: Callable[[Sized], bytes],
    make_server_close: Callable[[], None],
    *,
    until_answered: bool,
) -> None:
    """Do the client's part of one turn."""
    for step in encode(sends, payload_of):
        if isinstance(step, bytes):
            client.write(step, chop, until_answered=until_answered)
        elif isinstance(step, Pause):
            time.sleep(_PAUSE)
        elif isinstance(step, Fin):
            with contextlib.suppress(OSError):
                client.fin()
        elif isinstance(step, ServerCloses):
            make_server_close()


def check_answers(client: Client, wanted: Sequence[Answer], payload_of: Callable[[Sized], bytes]) -> None:
    """Assert every frame, in order."""
    for answer in wanted:
        _compare([client.frame()], [_frame_of(answer, payload_of)])


def check_answers_by_kind(
    client: Client, wanted: Sequence[Answer], payload_of: Callable[[Sized], bytes]
) -> None:
    """Assert messages in order and pongs in order: a message takes the longer path."""
    got = [client.frame() for _ in wanted]
    frames = [_frame_of(answer, payload_of) for answer in wanted]
    for pongs in (False, True):
        _compare(*([frame for frame in each if (frame[0] == PONG) is pongs] for each in (got, frames)))


def check_end(client: Client, end: End) -> list[tuple[int, bytes]]:
    """Assert the Close and the FIN; returns the frames before them."""
    frames = list(client.frames_to_end())
    if not end.code:
        if frames and frames[-1][0] == CLOSE:
            raise Mismatch(f"a Close where none was due: {_short(frames[-1][1])}")
        client.expect_fin()
        return frames
    if not frames or frames[-1][0] != CLOSE:
        raise Mismatch(f"TCP ended without a Close, after {_shown(frames)}")
    payload = frames.pop()[1]
    check_close(payload, end.code)
    if end.answered:
        client.send(Frame(CLOSE, payload).encode())
    client.expect_fin()
    return frames


def check_close(payload: bytes, code: int) -> None:
    got = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or got not in _SERVER_CODES:
        raise Mismatch(f"a Close with the body {_short(payload)}")
    if got != code:
        raise Mismatch(f"Close {got} instead of {code}")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise Mismatch(f"a Close whose reason is no UTF-8: {_short(payload)}") from None


def split(expects: Sequence[Expect]) -> tuple[list[Answer], End | Silence | None]:
    """(answers, the end of the turn)."""
    answers = [expect for expect in expects if isinstance(expect, Answer)]
    last = expects[-1] if expects else None
    return answers, None if isinstance(last, Answer) else last


def _frame_of(answer: Answer, payload_of: Callable[[Sized], bytes]) -> tuple[int, bytes]:
    payload = answer.payload
    return answer.opcode, payload_of(payload) if isinstance(payload, Sized) else payload


def compare_frames(
    got: list[tuple[int, bytes]], wanted: Sequence[Answer], payload_of: Callable[[Sized], bytes]
) -> None:
    _compare(got, [_frame_of(answer, payload_of) for answer in wanted])


def _compare(got: list[tuple[int, bytes]], wanted: list[tuple[int, bytes]]) -> None:
    if got != wanted:
        raise Mismatch(f"{_shown(got)} instead of {_shown(wanted)}")


_OPCODES = {TEXT: "text", 2: "binary", CLOSE: "Close", PING: "ping", PONG: "pong"}


def _shown(frames: Iterable[tuple[int, bytes]]) -> str:
    shown = [f"{_OPCODES.get(opcode, hex(opcode))} {_short(payload)}" for opcode, payload in frames]
    return ", ".join(shown) or "nothing"


def _short(data: bytes) -> str:
    return repr(bytes(data)) if len(data) <= 60 else f"{bytes(data[:40])!r}... ({len(data)} octets)"
