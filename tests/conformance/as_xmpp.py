"""A case for the gateway, where text is XML and binary is not accepted.

- The text of a message goes into an XML element, in the same fragments; a message of a given size keeps it.
- An empty text is a keepalive of old clients: it gets no answer.
- Binary is refused with 1003 at its first octet (RFC 7395 section 3.2).
- UTF-8 that XML forbids (U+FFFE, U+FFFF, NUL) is good text for the WebSocket: XMPP refuses it, with 1008.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.conformance.script import (
    BINARY,
    CONTINUATION,
    FILLER,
    PING,
    TEXT,
    Answer,
    Case,
    End,
    Expect,
    Frame,
    Sized,
    Step,
    turns,
)

_STANZA = (b"<message xmlns='jabber:client'><body>", b"</body></message>")
_SMALL = (b"<a xmlns='a:b'>", b"</a>")
_SMALLEST = b"<a xmlns='a:b'/>"
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: The gateway accepts stanzas up to this size from an XMPP server; a larger one is answered by a receipt.
SERVER_LIMIT = 8 * 1024 * 1024
RECEIPT = b"<message xmlns='jabber:client' id='receipt'/>"


@dataclass(frozen=True, slots=True)
class Turn:
    """The bytes sent, their answers, and the stanzas that reach the XMPP server."""

    sends: Sequence[Step]
    expects: list[Expect]
    stanzas: list[bytes]


def payload_of(message: Sized) -> bytes:
    """XML of exactly that size."""
    if not message.size:
        return b""
    if message.size == len(_SMALLEST):
        return _SMALLEST
    before, after = _STANZA if message.size >= 125 else _SMALL
    return before + FILLER * (message.size - len(before) - len(after)) + after


def wrapped(text: bytes) -> bytes:
    """XML around the text of a message; an empty one stays empty."""
    return _STANZA[0] + text + _STANZA[1] if text else b""


def as_xmpp(case: Case) -> Iterator[Turn]:
    """The turns of a case for the gateway, up to the one in which XMPP ends it."""
    script = _wrap(case.script)
    refusal = _first_refusal(case.script)
    position = 0
    for sends, expects in turns(case.script):
        wrapped_sends = script[position : position + len(sends)]
        end = None
        if refusal is not None and refusal[0] < position + len(sends):
            end = refusal[1]
            due = sum(_answers(sends[: refusal[0] - position]))
            expects = list[Expect](each for each in expects if isinstance(each, Answer))[:due]
        answers = [step for each in expects if (step := _as_stanza(each))]
        yield Turn(wrapped_sends, [*answers, end] if end else answers, _stanzas(expects))
        if end:
            return
        position += len(sends) + len(expects)


def refusal_code(case: Case) -> int:
    """The Close code by which XMPP refuses a case that the WebSocket accepts; 0 if XMPP accepts it too."""
    refusal = _first_refusal(case.script)
    return refusal[1].code if refusal else 0


def _as_stanza(expect: Expect) -> Expect | None:
    """The answer with XML in it; None if the gateway does not answer."""
    if not isinstance(expect, Answer) or expect.opcode != TEXT:
        return expect
    if isinstance(expect.payload, Sized):
        size = expect.payload.size
        return replace(expect, payload=RECEIPT) if size > SERVER_LIMIT else expect if size else None
    return replace(expect, payload=wrapped(expect.payload)) if expect.payload else None


def _stanzas(expects: Sequence[Expect]) -> list[bytes]:
    texts = [each.payload for each in expects if isinstance(each, Answer) and each.opcode == TEXT]
    return [payload_of(text) if isinstance(text, Sized) else wrapped(text) for text in texts]


# -- messages ----------------------------------------------------------------------------------------


def _messages(sends: Sequence[Step]) -> Iterator[list[int]]:
    """The positions of the frames of each text message, also of an endless one."""
    current: list[int] = []
    for index, step in enumerate(sends):
        if not isinstance(step, Frame) or step.opcode not in (TEXT, BINARY, CONTINUATION):
            continue
        if step.opcode == TEXT:
            if current:
                yield current
            current = [index]
        elif step.opcode == CONTINUATION and current:
            current.append(index)
        if current and step.fin:
            yield current
            current = []
    if current:
        yield current


def _text_frames(sends: Sequence[Step], message: list[int]) -> list[Frame]:
    return [frame for index in message if isinstance(frame := sends[index], Frame)]


def _wrap(sends: Sequence[Step]) -> list[Step]:
    """XML around each text message: before its first octet, and after its last if it ends."""
    result = list(sends)
    for message in _messages(sends):
        filled = [
            index for index, frame in zip(message, _text_frames(sends, message), strict=True) if frame.payload
        ]
        if not filled:
            continue
        first, last = filled[0], filled[-1]
        ended = sends[message[-1]]
        assert isinstance(ended, Frame)
        result[first] = _with_payload(result[first], _STANZA[0], b"")
        if ended.fin and not ended.withheld:
            result[last] = _with_payload(result[last], b"", _STANZA[1])
    return result


def _with_payload(step: Step, before: bytes, after: bytes) -> Frame:
    assert isinstance(step, Frame)
    return replace(step, payload=before + step.payload + after)


# -- refusals by XMPP -------------------------------------------------------------------------------


def _first_refusal(sends: Sequence[Step]) -> tuple[int, End] | None:
    """(position, end) of the first frame that is valid in WebSocket but not in XMPP."""
    refusals = [(index, End(1003)) for index in _binaries(sends)]
    for message in _messages(sends):
        frames = _text_frames(sends, message)
        text = b"".join(frame.payload for frame in frames)
        if frames[-1].fin and not frames[-1].withheld and _NO_XML.search(text.decode("utf-8", "ignore")):
            refusals.append((message[-1], End(1008, "not-well-formed", answered=True)))
    violations = [index for index, step in enumerate(sends) if _is_violation(step)]
    refusal = min(refusals, key=lambda each: each[0], default=None)
    return None if refusal is None or any(index < refusal[0] for index in violations) else refusal


def _binaries(sends: Sequence[Step]) -> Iterator[int]:
    """Binary frames that begin a message."""
    within = False
    for index, step in enumerate(sends):
        if isinstance(step, Sized):
            if step.opcode == BINARY:
                yield index
        elif isinstance(step, Frame) and step.opcode <= BINARY:
            if step.opcode == BINARY and not step.rsv and not within:
                yield index
            within = not step.fin


def _is_violation(step: Step) -> bool:
    return isinstance(step, Frame) and (step.opcode in range(3, 8) or step.opcode > 0xA or bool(step.rsv))


def _answers(sends: Sequence[Step]) -> Iterator[int]:
    """The number of frames that a server answers to each."""
    for step in sends:
        if isinstance(step, Sized):
            yield 1
        elif isinstance(step, Frame):
            yield int(step.opcode == PING or (step.opcode <= BINARY and step.fin))
