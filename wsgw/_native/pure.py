"""The functions on frames in Python (RFC 6455 section 5)."""

from __future__ import annotations

_FINAL_TEXT = 0x81
_MASK = 0x80
#: For each byte of a mask, the translation table that applies it to every byte.
_XOR = tuple(bytes(value ^ key for value in range(256)) for key in range(256))
#: Bytes above which four translations, one for each byte of the mask, are quicker than one big integer: 1.3
#: against 2.7 µs per KiB (Python 3.11); at 150 bytes they take 2.7 against 0.7 µs.
_XOR_BY_TRANSLATION = 2048

_from_bytes = int.from_bytes


def unmask(payload: bytes, mask: bytes, /) -> bytes:
    """Return ``payload`` XOR the repeated ``mask`` of 4 bytes (section 5.3)."""
    size = len(payload)
    if size > _XOR_BY_TRANSLATION:
        unmasked = bytearray(size)
        for turn in range(4):
            unmasked[turn::4] = payload[turn::4].translate(_XOR[mask[turn]])
        return bytes(unmasked)
    key = (mask * ((size + 3) >> 2))[:size]
    return (_from_bytes(payload, "big") ^ _from_bytes(key, "big")).to_bytes(size, "big")


def text_frame(data: bytes, start: int, max_size: int, /) -> tuple[bytes, int] | None:
    """Read the most common frame: a whole text message, valid, of which all bytes have arrived.

    It begins at the place ``start`` in ``data``, and has at most ``max_size`` bytes. Returns its payload and
    the place after it, None in all other cases. It saves 2 of the 3.5 µs that a frame of 150 bytes takes.
    """
    if len(data) - start < 7 or data[start] != _FINAL_TEXT:
        return None
    size = data[start + 1] - _MASK
    begin = start + 6
    if size >= 126:
        if size == 127:
            return None
        size = data[start + 2] << 8 | data[start + 3]
        begin = start + 8
        if size < 126:
            return None
    end = begin + size
    if not 0 < size <= max_size or end > len(data):
        return None
    payload = unmask(data[begin:end], data[begin - 4 : begin])
    if not payload.isascii():
        try:
            payload.decode()
        except UnicodeDecodeError:
            return None
    return payload, end
