"""Finds where complete tags end in a byte stream, without parsing it.

The returned bytes end after a tag, so that expat never holds an incomplete token; ``server`` gives the
reason. Each byte is examined once, however the bytes are divided.
"""

from __future__ import annotations

import re

from wsgw.errors import SessionError
from wsgw.stanzas.parser import CDATA, CDATA_END, end_of_tag, restricted

#: The bytes to search for inside a tag, by the byte that ends its current part. A ``<`` there is an error.
_IN_TAG = {
    b">": re.compile(rb"""["'<>]"""),
    b"'": re.compile(rb"['<]"),
    b'"': re.compile(rb'["<]'),
}
_INSTRUCTION_END = b"?>"
#: Nearly every chunk consists of whole stanzas, and ends in one of these.
_END_TAGS = (b"</message>", b"</iq>", b"</presence>")
_ENDS = (b">", CDATA_END, _INSTRUCTION_END)


def _may_be_opaque(data: bytes | bytearray, start: int = 0) -> bool:
    """Whether ``data`` contains ``<!`` or ``<?`` from ``start`` on: constructs in which ``<`` begins no tag.

    A single byte is found twenty times as fast as two.
    """
    return (data.find(b"!", start) >= 0 and data.find(b"<!", start) >= 0) or (
        data.find(b"?", start) >= 0 and data.find(b"<?", start) >= 0
    )


class CompleteMarkup:
    """Holds the bytes after the last complete tag or CDATA section; examines each byte once."""

    __slots__ = ("_begun", "_scanned", "_until", "held", "refused")

    def __init__(self) -> None:
        #: The bytes after the last complete markup.
        self.held = bytearray()
        #: The error for forbidden markup at the start of ``held`` (RFC 6120 section 11.1).
        self.refused: SessionError | None = None
        #: How many bytes of ``held`` were examined.
        self._scanned = 0
        #: The bytes that end the current construct; empty in text.
        self._until = b""
        #: Where the current construct begins in ``held``.
        self._begun = 0

    @property
    def unfinished_tag(self) -> int:
        """Bytes of the current, incomplete tag; 0 in text and in CDATA."""
        return len(self.held) - self._begun if self._until not in (b"", CDATA_END) else 0

    def take(self) -> bytes:
        """Return the held bytes, and forget them and all state."""
        held = bytes(self.held)
        self.held.clear()
        self._scanned = self._begun = 0
        self._until = b""
        self.refused = None
        return held

    def clear(self) -> None:
        """Forget the held bytes, which must be text."""
        self.held.clear()
        self._scanned = 0

    def feed(self, data: bytes) -> bytes:
        """Return the held bytes and ``data`` up to the last complete tag; hold the rest."""
        if not self.held and not _may_be_opaque(data):
            if data.endswith(_END_TAGS):
                return data
            last = data.rfind(b"<")
            if last >= 0 and end_of_tag(data, last) == len(data):
                return data
        self.held += data
        complete = self._scan()
        chunk = bytes(self.held[:complete])
        del self.held[:complete]
        self._scanned -= complete
        self._begun -= complete
        return chunk

    def _scan(self) -> int:
        """Examine the new bytes of ``held``; return the position after the last complete markup."""
        complete = 0
        # The new bytes may begin with the second byte of ``<!``.
        if not self._until and not _may_be_opaque(self.held, max(self._scanned - 1, 0)):
            last = self.held.rfind(b"<", self._scanned)
            previous = self.held.rfind(b"<", 0, last) if last > 0 else -1
            if previous >= 0:
                complete = end_of_tag(self.held, previous)
                if complete < 0:  # a tag begins inside another: expat reports the error
                    last = complete = len(self.held)
            self._scanned = max(last, self._scanned)
        while self.refused is None:
            ended, known = self._step()
            if not known:
                break
            complete = ended or complete
        return complete

    def _step(self) -> tuple[int, bool]:
        """Scan one construct; return (position after the markup that it ended, or 0; whether to continue)."""
        held, position, until = self.held, self._scanned, self._until
        if not until:
            return 0, self._enter_markup(held.find(b"<", position))
        in_tag = _IN_TAG.get(until)
        if in_tag is not None:
            match = in_tag.search(held, position)
            found = match.start() if match else -1
        else:
            found = held.find(until, position)
        if found < 0:
            self._scanned = max(position, len(held) - len(until) + 1)
            return 0, False
        if in_tag is not None and held.startswith(b"<", found):  # expat reports the error
            self._scanned = len(held)
            return len(held), True
        self._scanned = found + len(until)
        if until in _ENDS and held.startswith(until, found):
            self._until = b""
            return self._scanned, True
        self._until = bytes(held[found : found + 1]) if until == b">" else b">"
        return 0, True

    def _enter_markup(self, start: int) -> bool:
        if start < 0:
            self._scanned = len(self.held)
            return False
        self._scanned = self._begun = start
        head = self.held[start : start + len(CDATA)]
        if head == CDATA:
            self._until = CDATA_END
            self._scanned += len(CDATA)
        elif head.startswith(b"<!"):
            if not CDATA.startswith(bytes(head)):
                self.refused = restricted("a comment, document type or markup declaration")
            return False
        elif len(head) == 1:
            return False
        else:
            self._until = _INSTRUCTION_END if head.startswith(b"<?") else b">"
            self._scanned += 1
        return True
