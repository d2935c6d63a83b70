"""Finds the end of an element by counting tags, without a parser and without keeping its bytes.

It skips elements that are not forwarded: they may have any size, and so may each of their tags. Only the
state of quotes and of CDATA sections is kept.
"""

from __future__ import annotations

import re

from wsgw.stanzas.parser import CDATA, CDATA_END, restricted

_TEXT, _MARKUP, _TAG, _DECLARATION, _SECTION = b"", b"<", b">", b"!", b"]"
_IN_TAG = re.compile(rb"""["'>]""")
#: The bytes between ``<!`` and the text of a CDATA section.
_SECTION_BEGIN = CDATA[2:]


class TagCounter:
    """Counts open elements, beginning with ``depth``; its input may be divided anywhere."""

    __slots__ = ("_before", "_closes", "_within", "depth")

    def __init__(self, depth: int) -> None:
        self.depth = depth
        #: The current construct: one of the constants above, or the quote that ends the current value.
        self._within = _TEXT
        #: The last bytes of the current construct, as far as its end depends on them.
        self._before = b""
        self._closes = False

    def skip(self, data: bytes, position: int = 0) -> int:
        """Count the tags of ``data`` from ``position`` on, up to the one that closes the last open element.

        Returns the position after that tag, -1 if ``data`` does not contain it.

        Raises SessionError for markup that XMPP forbids.
        """
        while position < len(data):
            within = self._within
            if within == _TAG:
                position = self._in_tag(data, position)
                if not self.depth and self._within == _TEXT:
                    return position
            elif within == _TEXT:
                position = data.find(b"<", position) + 1 or len(data) + 1
                self._within = _MARKUP if position <= len(data) else _TEXT
            elif within == _MARKUP:
                position = self._enter(data, position)
            elif within in (_DECLARATION, _SECTION):
                position = self._in_section(data, position)
            else:
                position = data.find(within, position) + 1 or len(data) + 1
                self._within, self._before = (_TAG, within) if position <= len(data) else (within, b"")
        return -1

    def _enter(self, data: bytes, position: int) -> int:
        byte = data[position : position + 1]
        if byte == b"?":
            raise restricted("a processing instruction")
        self._within = _DECLARATION if byte == b"!" else _TAG
        self._closes = byte == b"/"
        self._before = b""
        return position + (byte in (b"!", b"/"))

    def _in_tag(self, data: bytes, position: int) -> int:
        match = _IN_TAG.search(data, position)
        if match is None:
            self._before = data[-1:]
            return len(data)
        found = match.start()
        if match[0] != b">":
            self._within = match[0]
            return found + 1
        before = data[found - 1 : found] if found > position else self._before
        if self._closes:
            self.depth -= 1
        elif before != b"/":
            self.depth += 1
        self._within = _TEXT
        return found + 1

    def _in_section(self, data: bytes, position: int) -> int:
        if self._within == _DECLARATION:
            missing = len(_SECTION_BEGIN) - len(self._before)
            self._before += data[position : position + missing]
            if not _SECTION_BEGIN.startswith(self._before):
                raise restricted("a comment, document type or markup declaration")
            if self._before == _SECTION_BEGIN:
                self._within, self._before = _SECTION, b""
            return position + missing
        last = len(CDATA_END) - 1
        begun = len(self._before)
        found = (self._before + data[position : position + last]).find(CDATA_END)
        end = position + found - begun if found >= 0 else data.find(CDATA_END, position)
        if end < 0 and found < 0:
            self._before = (self._before + data[max(position, len(data) - last) :])[-last:]
            return len(data)
        self._within, self._before = _TEXT, b""
        return end + len(CDATA_END)
