"""Turns frames into bytes, and bytes into messages (RFC 6455 section 5).

``FrameParser`` reads the frames of a client: it takes bytes in any division and returns whole messages. It
checks every rule of section 5 on the header, before a payload is buffered, and UTF-8 as it arrives (section
8.1). The ``make`` functions build the frames of a server.

The state of the closing handshake belongs to ``websocket_session``. Erlang twin:
``websocket_frame`` (``parse_stream``, ``make``, ``make_binary``, ``make_close``, ``make_ping``,
``make_pong``); fragments, masks, limits and UTF-8 are new.
"""

from __future__ import annotations

import codecs
from enum import IntEnum
from struct import Struct

from wsgw._native import pure
from wsgw._native.choice import core
from wsgw._native.functions import Functions
from wsgw.errors import CloseCode, InvalidText, MessageTooBig, WebSocketViolation


class Opcode(IntEnum):
    """Frame opcodes (RFC 6455 section 5.2)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


#: The most bytes of a control frame's payload (RFC 6455 section 5.5), and of a Close frame's reason.
MAX_CONTROL_PAYLOAD = 125
MAX_CLOSE_REASON = MAX_CONTROL_PAYLOAD - 2

#: ``FrameParser`` returns this for a data frame that completes no message.
FRAGMENT: tuple[int, bytes] = (Opcode.CONTINUATION, b"")
#: In place of an opcode: the payloads of several text messages, one common stanza in each (``ChunkParser``).
STANZAS = -2
#: The header was read, and part of the payload is missing. Compared by identity.
_BEGUN: tuple[int, bytes] = (-1, b"")

_FIN = 0x80
_RSV = 0x70
_RSV1 = 0x40
#: The error for a compressed message (RFC 7692 section 6); wsgw accepts no offer of that extension.
_COMPRESSED = (
    "compressed frame (RSV1), but no extension was agreed on: does a proxy answer for permessage-deflate?"
)
_CONTROL = 0x08
_MASK = 0x80
_KNOWN_OPCODES = frozenset(Opcode)
_TEXT = Opcode.TEXT
_FINAL_TEXT = _FIN | Opcode.TEXT
_SHORT_TEXT_HEADERS = tuple(bytes((_FINAL_TEXT, size)) for size in range(126))
_MEDIUM_HEADER = Struct(">BBH").pack
#: The codes below 3000 that a peer may send (section 7.4.1 and the IANA registry).
_PEER_CLOSE_CODES = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))

_Utf8Decoder = codecs.getincrementaldecoder("utf-8")


def make(payload: bytes) -> bytes:
    """Return one final text frame with ``payload``, which is UTF-8."""
    size = len(payload)
    if size < 126:
        return _SHORT_TEXT_HEADERS[size] + payload
    if size < 1 << 16:
        return _MEDIUM_HEADER(_FINAL_TEXT, 126, size) + payload
    return _frame(Opcode.TEXT, payload)


def make_binary(payload: bytes) -> bytes:
    """Return one final binary frame."""
    return _frame(Opcode.BINARY, payload)


def make_ping(payload: bytes = b"") -> bytes:
    """Return a ping frame; ``payload`` is at most 125 bytes."""
    return _frame(Opcode.PING, payload)


def make_pong(payload: bytes = b"") -> bytes:
    """Return a pong frame; ``payload`` is at most 125 bytes (section 5.5.3: the ping's own bytes)."""
    return _frame(Opcode.PONG, payload)


def make_close(code: int = CloseCode.NORMAL, reason: bytes = b"") -> bytes:
    """Return a Close frame; ``reason`` is cut to 123 bytes of whole UTF-8 characters (section 5.5.1)."""
    if len(reason) > MAX_CLOSE_REASON:
        reason = reason[:MAX_CLOSE_REASON].decode("utf-8", "ignore").encode()
    return _frame(Opcode.CLOSE, code.to_bytes(2, "big") + reason)


def _frame(opcode: Opcode, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((_FIN | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((_FIN | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((_FIN | opcode, 127)) + size.to_bytes(8, "big") + payload


def parse_close(payload: bytes) -> tuple[int, bytes]:
    """Return (code, reason in UTF-8) of a Close frame's payload; an empty payload counts as 1000.

    Raises WebSocketViolation with 1002 for a payload of one byte (section 5.5.1) or a code that no endpoint
    may send (section 7.4), with 1007 for a reason that is not UTF-8.
    """
    if not payload:
        return CloseCode.NORMAL, b""
    if len(payload) == 1:
        raise WebSocketViolation(CloseCode.PROTOCOL_ERROR, "Close body of one byte")
    code = int.from_bytes(payload[:2], "big")
    if code not in _PEER_CLOSE_CODES and not 3000 <= code <= 4999:
        raise WebSocketViolation(CloseCode.PROTOCOL_ERROR, f"Close code {code} must not be sent")
    reason = payload[2:]
    try:
        reason.decode()
    except UnicodeDecodeError:
        raise WebSocketViolation(CloseCode.INVALID_PAYLOAD, "Close reason is not UTF-8") from None
    return code, reason


class FrameParser:
    """Cuts the bytes of one client into messages.

    Feed bytes with ``feed``, then call ``parse_stream`` until it returns None. After it has raised, the
    borders of the next frames are unknown and the parser must not be used again.
    """

    __slots__ = (
        "_buffer",
        "_character_begun",
        "_decoder",
        "_frame_is_final",
        "_mask",
        "_message",
        "_message_opcode",
        "_position",
        "_remaining",
        "_text_frame",
        "_unmask",
        "accept_binary",
        "max_message_size",
        "stanza_bounds",
        "taken",
    )

    def __init__(self, max_message_size: int, *, accept_binary: bool = False) -> None:
        #: Bytes that one whole message may have; may be changed between messages.
        self.max_message_size = max_message_size
        self.accept_binary = accept_binary
        #: The bounds of a common stanza (``Functions``): a ``ChunkParser`` may take stanzas of several frames
        #: together. None: not at all.
        self.stanza_bounds: tuple[int, int, int] | None = None
        #: The number of frames that the last ``STANZAS`` were in; of messages, presences and iqs among them.
        self.taken = (0, 0)
        self._buffer = b""
        self._position = 0
        #: Type of the fragmented message, None between messages; its payload so far.
        self._message_opcode: Opcode | None = None
        self._message: bytearray | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        #: The payload so far ends within a UTF-8 character.
        self._character_begun = False
        self._remaining = 0
        self._frame_is_final = False
        self._mask = b""
        native = core()
        self._unmask = pure.unmask if native is None else native.unmask
        self._text_frame = pure.text_frame if native is None else native.text_frame

    def _reset_message(self) -> None:
        self._message_opcode = self._message = self._decoder = None
        self._character_begun = False

    def feed(self, data: bytes) -> None:
        """Take bytes from the client, divided anywhere."""
        if self._position == len(self._buffer):
            self._buffer = data
        else:
            self._buffer = self._buffer[self._position :] + data
        self._position = 0

    def parse_stream(self) -> tuple[int, bytes] | None:
        """Return the next message or control frame as (opcode, payload); None if more bytes are needed.

        Returns ``FRAGMENT`` for a data frame that completes no message, so that the caller can count frames.
        Raises WebSocketViolation (1002; 1003 for a binary message unless ``accept_binary``), MessageTooBig
        or InvalidText, each as soon as the parser reaches the offending byte.
        """
        if self._position == len(self._buffer):
            self._buffer, self._position = b"", 0  # free the bytes that were read
            return None
        if not self._remaining:
            if self._message is None:
                whole = self._text_frame(self._buffer, self._position, self.max_message_size)
                if whole is not None:
                    payload, self._position = whole
                    return _TEXT, payload
            frame = self._read_frame()
            if frame is not _BEGUN:
                return frame
        return self._end_frame() if self._read_payload() else None

    def _read_frame(self) -> tuple[int, bytes] | None:
        """Read a frame; return ``_BEGUN`` if only its header has arrived, None if not even that has."""
        buffer, start = self._buffer, self._position
        available = len(buffer) - start
        if available < 2:
            first = buffer[start]  # one byte can be checked already
            self._check_header(first, first & 0x0F, _MASK, 0)
            return None
        first, second = buffer[start], buffer[start + 1]
        opcode = first & 0x0F
        size = second & 0x7F
        self._check_header(first, opcode, second, size)
        header = 6
        if size >= 126:
            extended = 2 if size == 126 else 8
            header += extended
            if available < 2 + extended:
                return None
            size = self._extended_size(buffer[start + 2 : start + 2 + extended])
        if not opcode & _CONTROL:
            self._check_size(size)
        if available < header:
            return None
        payload_start = start + header
        mask = buffer[payload_start - 4 : payload_start]
        if available >= header + size:
            self._position = payload_start + size
            payload = self._unmask(buffer[payload_start : self._position], mask)
            return self._take_frame(opcode, bool(first & _FIN), payload)
        if opcode & _CONTROL:
            return None
        self._begin_partial_frame(opcode, bool(first & _FIN), size, mask)
        self._position = payload_start
        return _BEGUN

    def _check_header(self, first: int, opcode: int, second: int, size: int) -> None:
        if first & _RSV:  # section 5.2
            raise _protocol_error(
                _COMPRESSED if first & _RSV == _RSV1 else "reserved bits without an extension"
            )
        if opcode not in _KNOWN_OPCODES:  # section 5.2
            raise _protocol_error(f"reserved opcode {opcode}")
        if opcode & _CONTROL:
            if not first & _FIN:  # section 5.5
                raise _protocol_error("fragmented control frame")
        elif opcode == Opcode.CONTINUATION:
            if self._message_opcode is None:  # section 5.4
                raise _protocol_error("continuation frame without a message")
        elif self._message_opcode is not None:  # section 5.4
            raise _protocol_error("data frame inside a fragmented message")
        elif opcode == Opcode.BINARY and not self.accept_binary:  # RFC 7395 section 3.2
            raise WebSocketViolation(CloseCode.UNSUPPORTED_DATA, "XMPP over WebSocket forbid binary frames")
        if not second & _MASK:  # section 5.1
            raise _protocol_error("unmasked frame from a client")
        if opcode & _CONTROL and size > MAX_CONTROL_PAYLOAD:  # section 5.5
            raise _protocol_error("control frame above 125 bytes")

    @staticmethod
    def _extended_size(field: bytes) -> int:
        """Return the size in an extended length field, by the rules of section 5.2."""
        size = int.from_bytes(field, "big")
        if size >> 63:
            raise _protocol_error("64-bit length with its top bit set")
        if size < 126 or (len(field) == 8 and size < 1 << 16):
            raise _protocol_error("length not in its shortest form")
        return size

    def _check_size(self, size: int) -> None:
        total = size if self._message is None else size + len(self._message)
        if total > self.max_message_size:
            raise MessageTooBig(self.max_message_size)

    def _take_frame(self, opcode: int, final: bool, payload: bytes) -> tuple[int, bytes]:
        if opcode & _CONTROL:
            return opcode, payload
        if opcode != Opcode.CONTINUATION:
            if final:  # the most common case: a message of one frame
                if opcode == Opcode.TEXT and not payload.isascii():
                    _check_utf8(payload)
                return opcode, payload
            self._begin_message(opcode)
        self._frame_is_final = final
        self._append(payload)
        return self._end_frame()

    def _begin_message(self, opcode: int) -> None:
        self._message_opcode = Opcode(opcode)
        self._message = bytearray()
        self._decoder = _Utf8Decoder() if opcode == Opcode.TEXT else None

    def _begin_partial_frame(self, opcode: int, final: bool, size: int, mask: bytes) -> None:
        if opcode != Opcode.CONTINUATION:
            self._begin_message(opcode)
        self._frame_is_final = final
        self._remaining = size
        self._mask = mask

    def _read_payload(self) -> bool:
        """Read the available payload of the current frame; return whether the frame is complete."""
        chunk = self._buffer[self._position : self._position + self._remaining]
        if chunk:
            self._position += len(chunk)
            self._remaining -= len(chunk)
            self._append(self._unmask(chunk, self._mask))
            turn = len(chunk) % 4
            self._mask = self._mask[turn:] + self._mask[:turn]
        if self._remaining:
            self._buffer, self._position = b"", 0
        return not self._remaining

    def _append(self, payload: bytes) -> None:
        assert self._message is not None
        self._message += payload
        if self._decoder is not None and (self._character_begun or not payload.isascii()):
            self._check_part(self._decoder, payload)

    def _check_part(self, decoder: codecs.IncrementalDecoder, payload: bytes) -> None:
        """Check UTF-8 that may end within a character (RFC 6455 section 8.1)."""
        try:
            decoder.decode(payload)
        except UnicodeDecodeError:
            raise InvalidText from None
        held, _ = decoder.getstate()
        # Python waits for a surrogate's third byte, though RFC 3629 ends with its second.
        if held[:1] == b"\xed" and held[1:] >= b"\xa0":
            raise InvalidText
        self._character_begun = bool(held)

    def _end_frame(self) -> tuple[int, bytes]:
        """End the current data frame; return its message if the frame is final, otherwise ``FRAGMENT``."""
        if not self._frame_is_final:
            return FRAGMENT
        assert self._message is not None
        assert self._message_opcode is not None
        if self._character_begun:
            raise InvalidText
        message = (int(self._message_opcode), bytes(self._message))
        self._reset_message()
        return message


class ChunkParser(FrameParser):
    """A parser that takes the common stanzas of a chunk of bytes together, by native code.

    While ``stanza_bounds`` are set, ``parse_stream`` may also return ``STANZAS`` and the payloads, without
    anything between them, of successive text messages that each are one common stanza.
    """

    __slots__ = ("_stanzas_of_frames",)

    def __init__(self, max_message_size: int, native: Functions) -> None:
        super().__init__(max_message_size)
        self._stanzas_of_frames = native.stanzas_of_frames

    def parse_stream(self) -> tuple[int, bytes] | None:
        """Return the next message, control frame or ``STANZAS``; None if more bytes are needed."""
        if self._position == len(self._buffer):
            self._buffer, self._position = b"", 0
            return None
        if self.stanza_bounds is not None and self._message is None and not self._remaining:
            payloads, frames, stanzas, self._position = self._stanzas_of_frames(
                self._buffer, self._position, self.max_message_size, *self.stanza_bounds
            )
            if frames:
                self.taken = (frames, stanzas)
                return STANZAS, payloads
        return super().parse_stream()


def parser_for_xmpp(max_message_size: int) -> FrameParser:
    """Return a new parser of a client's frames: a ``ChunkParser`` where native functions are in use."""
    native = core()
    return FrameParser(max_message_size) if native is None else ChunkParser(max_message_size, native)


def _check_utf8(payload: bytes) -> None:
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise InvalidText from None


def _protocol_error(reason: str) -> WebSocketViolation:
    return WebSocketViolation(CloseCode.PROTOCOL_ERROR, reason)
