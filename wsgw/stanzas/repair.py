"""Reads again a server's stanza that the parser with namespaces refused, and removes its invalid elements.

A server relays content of other users, which must not end the session of its receiver. So the stanza is the
unit of failure: it is never dropped (XEP-0198 counts it), and only the smallest element around an error is
removed from it. All other bytes stay unchanged. Only bytes that are not XML at all, or that break the rules
of the stream itself, still raise StreamError.

``StanzaRepair`` uses a parser that ignores namespaces and checks names with ``Namespaces``;
``SkippedStanza`` skips the content of a stanza that is too large to keep.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from defusedxml.common import DefusedXmlException

from wsgw.errors.causes import DEPTH, MEMORY, NAMES, NAMESPACE, SIZE
from wsgw.stanzas.cutter import LARGE, SMALL, SMALL_SIZE, TAG_LIMIT, Bounds
from wsgw.stanzas.namespaces import Namespaces
from wsgw.stanzas.parser import (
    CDATA,
    CDATA_END,
    FIRST_LINE,
    STANZAS,
    STREAM,
    end_of_element,
    end_of_tag,
    long_namespace,
    make_parser,
    not_well_formed,
    parse,
    refused,
)
from wsgw.stanzas.stanza_tag import StanzaTag, read_tag, rewritten_tag
from wsgw.stanzas.tag_counter import TagCounter

#: Contains another stanza (XEP-0297): one of an archive (XEP-0313), or a carbon copy (XEP-0280).
_FORWARD = "urn:xmpp:forward:0"

#: A tag, or the beginning of a CDATA section.
_MARKUP = re.compile(rb"""<!\[CDATA\[|<[^<>"']*(?:"[^"<]*"[^<>"']*|'[^'<]*'[^<>"']*)*>""")
_NAME = re.compile(rb"""(?:<|\s)([^\s=<>"'/]+)(?:\s*=\s*(?:"[^"]*"|'[^']*'))?""")
#: A tag that opens an element.
_ANY_TAG = b"<a>"
_SLASH, _EXCLAMATION = b"/!"
_NO_MEMORY = expat.errors.codes[expat.errors.XML_ERROR_NO_MEMORY]


def long_tag(chunk: bytes) -> int:
    """Return the start of the first tag above ``TAG_LIMIT`` in ``chunk``, complete markup; -1 for none."""
    position = 0
    while (found := _MARKUP.search(chunk, position)) is not None:
        position = found.end()
        if found[0] == CDATA:
            position = max(chunk.find(CDATA_END, position), position)
        elif position - found.start() > TAG_LIMIT:
            return found.start()
    return -1


class StanzaRepair:
    """Reads one stanza from its first byte.

    ``bindings`` is a start tag with the namespace declarations of the stream's header.
    """

    __slots__ = (
        "_bindings",
        "_bounds",
        "_children",
        "_cut_depth",
        "_cut_start",
        "_cuts",
        "_depth",
        "_dropped",
        "_excess",
        "_forwards",
        "_known",
        "_limit",
        "_names",
        "_open",
        "_parser",
        "_position",
        "_read",
        "_tag",
        "given_up",
        "reasons",
        "reread",
        "successor",
    )

    def __init__(self, bindings: bytes, limit: int, bounds: Bounds = SMALL) -> None:
        self._bindings = bindings
        #: Bytes that the stanza may have; above, none of its content is kept.
        self._limit = limit
        #: Why elements were removed, from ``REPAIRS``.
        self.reasons: set[str] = set()
        #: Bytes removed before the parser: elements too deep, or with a name too many.
        self._dropped = 0
        #: Reads the stanza again with the narrower bounds of a large one; the bytes to feed it.
        self.successor: StanzaRepair | None = None
        self.reread = b""
        #: None of the stanza's content will be kept.
        self.given_up = False
        self._bounds = bounds
        self._read = bytearray()
        #: Names seen, as they are written; only where they are bounded.
        self._known: set[bytes] = set()
        #: Open elements, counted from the tags, the stanza being the first; counts the tags of the element
        #: inside them that is being removed.
        self._open = 0
        self._excess: TagCounter | None = None
        #: Open elements, counted by the parser's handlers.
        self._depth = -1
        self._tag: StanzaTag | None = None
        self._children = 0
        #: (start, end, replacement) of each cut, in order; start and level of the element being cut.
        self._cuts: list[tuple[int, int, bytes]] = []
        self._cut_start = self._cut_depth = 0
        #: The levels of the open elements that contain another stanza.
        self._forwards: list[int] = []
        self._names = Namespaces()
        parser = self._parser = make_parser(namespaces=False)
        parser.StartElementHandler = self._start_element
        parser.EndElementHandler = self._end_element
        parser.Parse(self._bindings)
        self._position = len(FIRST_LINE) + len(self._bindings)

    @property
    def begun(self) -> int:
        """Bytes of the stanza so far."""
        return len(self._read) + self._dropped

    def feed(self, chunk: bytes) -> bytes | None:
        """Read more of the stanza, in complete markup; return the bytes after it, None if it has not ended.

        Raises StreamError for bytes that are not XML, or for an error in an element that is not a stanza.
        """
        kept, end = self._within_bounds(chunk)
        self._read += kept
        if self.begun > self._limit:
            self._give_up(SIZE)
        elif not self.given_up:
            if self._bounds is SMALL and self.begun > SMALL_SIZE:
                self._hand_over(chunk[end:])
                return None
            self._parse(kept)
            if self.reasons and self._tag is not None:
                self._tag.require_stanza("elements nested too deeply, or too many names")
        return None if self._open else chunk[end:]

    def _hand_over(self, rest: bytes) -> None:
        """Let a ``successor`` read the stanza again, and then ``rest``.

        An element that is being removed as too deep is replaced by one start tag for each element open in it.
        """
        excess = self._excess
        left_out = _ANY_TAG * excess.depth if excess is not None else b""
        self.reread = bytes(self._read) + left_out + rest
        self.release()
        successor = self.successor = StanzaRepair(self._bindings, self._limit, LARGE)
        successor.reasons, successor._dropped = self.reasons, self._dropped - len(left_out)

    def _parse(self, kept: bytes) -> None:
        try:
            parse(self._parser, kept)
        except (expat.ExpatError, DefusedXmlException) as error:
            if getattr(error, "code", None) != _NO_MEMORY:
                raise refused(error, self._read, self._parser.ErrorByteIndex - self._position) from None
            self._give_up(MEMORY)
        else:
            if not self._open and (self._depth or self._tag is None):
                raise not_well_formed("mismatched tag")

    def _give_up(self, reason: str) -> None:
        self.reasons = {reason}
        self.given_up = True

    def stanza(self) -> tuple[str, bytes, str]:
        """Return (expanded name, bytes, sender) of the stanza, after its last byte was fed.

        The sender is the attribute ``from``, "" if the stanza has none.
        """
        tag = self._tag
        if self.given_up or tag is None:
            return self.skipped().stanza()
        if not self._children and (self._cuts or self._dropped) and tag.must_have_content:
            return tag.name, tag.emptied(), tag.get("from")
        parts = [tag.tag]
        start = end_of_tag(self._read)
        for cut_start, cut_end, instead in self._cuts:
            parts += (bytes(self._read[start:cut_start]), instead)
            start = cut_end
        parts.append(bytes(self._read[start:]))
        return tag.name, b"".join(parts), tag.get("from")

    def release(self) -> None:
        """Break the reference cycle of this object and its parser, which refers to its methods."""
        self._parser.StartElementHandler = self._parser.EndElementHandler = None

    def skipped(self) -> SkippedStanza:
        """Return the object that skips the rest of the stanza and keeps only its tag."""
        within = self._open + (self._excess.depth if self._excess is not None else 0)
        reasons = frozenset(self.reasons if self.given_up else (SIZE,))
        begun = bytes(self._read[: self._limit + 1])
        return SkippedStanza(self._bindings, begun, within, self._limit, reasons)

    # -- bounds, from the tags alone ---------------------------------------------------------------

    def _within_bounds(self, chunk: bytes) -> tuple[bytes, int]:
        """Return (the bytes of ``chunk`` within the bounds, the position where the stanza ends in it)."""
        kept: list[bytes] = []
        start = position = 0
        if self._excess is not None:
            start = position = self._leave_out(self._excess, chunk, 0, 0)
        while (found := _MARKUP.search(chunk, position)) is not None:
            position = found.end()
            if position - found.start() > TAG_LIMIT:
                self._give_up(SIZE)
            kind = chunk[found.start() + 1]
            if kind == _EXCLAMATION:
                position = max(chunk.find(CDATA_END, position), position)
                continue
            if kind == _SLASH:
                self._open -= 1
            else:
                empty = chunk[position - 2] == _SLASH
                if self._is_excess(found[0]):
                    kept.append(chunk[start : found.start()])
                    counter = TagCounter(0 if empty else 1)
                    start = position = self._leave_out(counter, chunk, found.start(), position)
                    continue
                self._open += not empty
            if not self._open:
                break
        else:
            position = len(chunk)
        kept.append(chunk[start:position])
        return b"".join(kept), position

    def _is_excess(self, tag: bytes) -> bool:
        if self._open >= self._bounds.depth:
            self.reasons.add(DEPTH)
            return True
        if self._bounds is LARGE:
            new = {match[1] for match in _NAME.finditer(tag)} - self._known
            if self._open and len(self._known) + len(new) > self._bounds.names:
                self.reasons.add(NAMES)
                return True
            self._known |= new
        return False

    def _leave_out(self, counter: TagCounter, chunk: bytes, start: int, position: int) -> int:
        """Remove the element that begins at ``start``; ``counter`` has counted up to ``position``."""
        end = counter.skip(chunk, position) if counter.depth else position
        self._excess = counter if end < 0 else None
        end = len(chunk) if end < 0 else end
        self._dropped += end - start
        return end

    # -- names, by the parser's handlers -----------------------------------------------------------

    def _start_element(self, name: str, attributes: list[str]) -> None:
        depth = self._depth = self._depth + 1
        if self._cut_depth:
            return
        start = self._parser.CurrentByteIndex - self._position if depth > 0 else 0
        if depth == 1:
            self._take_tag(name, attributes)
            return
        error = self._names.start(name, attributes)
        if error and depth > 1:
            self._remove(name, attributes, error, start)
            return
        self._children += depth == 2
        if name.endswith("forwarded") and self._names.namespace(name) == _FORWARD:
            self._forwards.append(depth)

    def _remove(self, name: str, attributes: list[str], error: str, start: int) -> None:
        """Remove the element that begins at ``start``; a forwarded stanza only gets its tag rewritten."""
        assert self._tag is not None
        self._tag.require_stanza(error)
        self.reasons.add(NAMESPACE)
        names = self._names
        if self._depth - 1 not in self._forwards[-1:] or not (
            names.knows(name) and names.expanded(name) in STANZAS
        ):
            self._cut_start, self._cut_depth = start, self._depth
            return
        end = end_of_tag(self._read, start)
        closing = "/>" if self._read[end - 2] == _SLASH else ">"
        values = dict(zip(attributes[::2], attributes[1::2], strict=True))
        self._cuts.append((start, end, rewritten_tag(name, names.declared, values, closing)))

    def _take_tag(self, name: str, attributes: list[str]) -> None:
        written = bytes(self._read[: end_of_tag(self._read)])
        tag = self._tag = StanzaTag(self._names, name, attributes, written)
        if tag.name == STREAM:
            raise long_namespace()
        if tag.tag != written:
            self.reasons.add(NAMESPACE)

    def _end_element(self, _name: str) -> None:
        depth = self._depth
        self._depth -= 1
        if self._cut_depth:
            if depth != self._cut_depth:
                return
            end = end_of_element(self._read, self._cut_start, self._parser.CurrentByteIndex - self._position)
            self._cuts.append((self._cut_start, end, b""))
            self._cut_depth = 0
        elif self._forwards[-1:] == [depth]:
            self._forwards.pop()
        self._names.end()


class SkippedStanza:
    """A stanza that is too large: only its tag is forwarded, with the content that RFC 6120 demands.

    ``begun`` is its first bytes, which may end within its tag; ``depth`` the number of elements open where
    skipping begins, 0 before the stanza; ``limit`` the bytes that it may have. Raises StreamError if it is
    not a message, presence or iq.
    """

    __slots__ = ("_counter", "_tag", "reasons")

    def __init__(
        self,
        bindings: bytes,
        begun: bytes,
        depth: int,
        limit: int,
        reasons: frozenset[str] = frozenset((SIZE,)),
    ) -> None:
        #: Why the content is skipped, from ``REPAIRS``.
        self.reasons = reasons
        self._counter = TagCounter(depth)
        self._tag = read_tag(bindings, begun, min(limit, TAG_LIMIT))
        self._tag.require_stanza("too large")

    def skip(self, data: bytes) -> int:
        """Return where the stanza ends in ``data``, -1 if it continues; ``data`` may end anywhere."""
        return self._counter.skip(data)

    def stanza(self) -> tuple[str, bytes, str]:
        """Return (expanded name, bytes, sender) of the stanza without its content."""
        return self._tag.name, self._tag.emptied(), self._tag.get("from")
