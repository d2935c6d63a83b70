"""Finds long plain character data, which is well-formed wherever a tag has ended before it.

expat takes 4 µs for a KiB of it, since it goes over all it reads twice (it also counts lines); what
is here takes 0.4 µs. So a parser is fed what stands around such text.
"""

from __future__ import annotations

#: From this length on, in bytes, text is worth being found.
LONG_TEXT = 2048

#: What makes text anything but plain: markup, references, control characters.
_SPECIAL = (*b"<>&", *(byte for byte in range(0x20) if byte not in b"\t\n\r"))
#: What UTF-8 can write and XML does not know (XML 1.0 section 2.2).
_NO_CHARACTERS = ("\ufffe", "\uffff")


def without_plain_text(data: bytes) -> list[tuple[bytes, int]]:
    """Return the pieces of ``data`` that a parser must see, each with the bytes left out before it.

    ``data`` begins in content: at a tag, or after one. Text is left out only from the ``>`` before it
    to the ``<`` after it. Were that ``>`` inside a value or a comment, the ``<`` would be a mistake with
    or without what is between: nothing becomes well-formed, or else, by what is missing. A piece ends
    where a tag does.
    """
    pieces = []
    kept = left_out = seen = 0
    # Text of that length cannot lie between two looks.
    while (end := data.find(b"<", seen + LONG_TEXT)) >= 0:
        start = data.rfind(b">", seen, seen + LONG_TEXT) + 1 or seen
        if end - start >= LONG_TEXT and _is_plain(data[start:end]):
            if start > kept:
                pieces.append((data[kept:start], left_out))
            left_out = end - start
            kept = end
        seen = end
    pieces.append((data[kept:], left_out))
    return pieces


def _is_plain(text: bytes) -> bool:
    return is_text(text) and not any(map(text.__contains__, _SPECIAL))


def is_text(text: bytes) -> bool:
    """Whether ``text`` is UTF-8 of characters that XML knows; control characters are not looked for."""
    if text.isascii():
        return True
    try:
        characters = text.decode()
    except UnicodeDecodeError:
        return False
    return not any(character in characters for character in _NO_CHARACTERS)
