"""Finds where complete tags end in a byte stream, without parsing it.

What it gives back can be fed to expat whole, so that expat never holds an incomplete token; see
``server`` for why. Each byte is looked at once, however it comes.
"""

from __future__ import annotations

import re

from wsgw.errors import SessionError
from wsgw.stanzas.parser import CDATA, CDATA_END, end_of_tag, restricted

#: What is looked for inside a tag, by what ends the part of it under way. A ``<`` there is a mistake.
_IN_TAG = {
    b">": re.compile(rb"""["'<>]"""),
    b"'": re.compile(rb"['<]"),
    b'"': re.compile(rb'["<]'),
}
_INSTRUCTION_END = b"?>"
#: How nearly every chunk ends: whole stanzas.
_END_TAGS = (b"</message>", b"</iq>", b"</presence>")
_ENDS = (b">", CDATA_END, _INSTRUCTION_END)


def _may_be_opaque(data: bytes | bytearray, start: int = 0) -> bool:
    """Whether ``data`` holds, from ``start`` on, ``<!`` or ``<?``: constructs in which ``<`` begins no tag.

    A single byte is found twenty times as fast as two.
    """
    return (data.find(b"!", start) >= 0 and data.find(b"<!", start) >= 0) or (
        data.find(b"?", start) >= 0 and data.find(b"<?", start) >= 0
    )


class CompleteMarkup:
    """Holds back what does not end in a complete tag or CDATA section; looks at each byte once."""

    __slots__ = ("_begun", "_scanned", "_until", "held", "refused")

    def __init__(self) -> None:
        self.held = bytearray()
        #: Markup that no stanza may hold stands at the start of what is held.
        self.refused: SessionError | None = None
        self._scanned = 0
        #: What ends the construct under way; empty in text.
        self._until = b""
        #: Where that construct begins in what is held.
        self._begun = 0

    @property
    def unfinished_tag(self) -> int:
        """Bytes of the tag under way, 0 in text and in CDATA."""
        return len(self.held) - self._begun if self._until not in (b"", CDATA_END) else 0

    def take(self) -> bytes:
        """Give back what is held, and forget it."""
        held = bytes(self.held)
        self.held.clear()
        self._scanned = self._begun = 0
        self._until = b""
        self.refused = None
        return held

    def clear(self) -> None:
        """Forget what is held, which is text."""
        self.held.clear()
        self._scanned = 0

    def feed(self, data: bytes) -> bytes:
        """Return everything up to the last complete tag, in order; keep the rest."""
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
        """Look at what is new; return the position after the last complete markup."""
        complete = 0
        # What was not looked at yet may begin with the second byte of ``<!``.
        if not self._until and not _may_be_opaque(self.held, max(self._scanned - 1, 0)):
            last = self.held.rfind(b"<", self._scanned)
            previous = self.held.rfind(b"<", 0, last) if last > 0 else -1
            if previous >= 0:
                complete = end_of_tag(self.held, previous)
                if complete < 0:  # a tag begins inside another: expat says what is wrong
                    last = complete = len(self.held)
            self._scanned = max(last, self._scanned)
        while self.refused is None:
            ended, known = self._step()
            if not known:
                break
            complete = ended or complete
        return complete

    def _step(self) -> tuple[int, bool]:
        """Take one construct: (position after markup that ended here or 0, whether to go on)."""
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
        if in_tag is not None and held.startswith(b"<", found):  # expat says what is wrong
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
