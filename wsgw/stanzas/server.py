"""Cuts the bytes of an XMPP server into stanzas, and returns the server's own bytes.

Two properties of expat shape both directions. expat may hold back an incomplete token although its rest
has arrived (reparse deferral: expat 2.6 and patched older ones), so a parser gets bytes only up to the
``>`` that ends a tag. A parser also keeps every name that it has seen, so it is replaced between stanzas
once it keeps many. Most stanzas never reach a parser: ``fast_path`` recognises them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from wsgw.errors import StreamError
from wsgw.stanzas.cutter import SERVER_STANZA_LIMIT, TAG_LIMIT, TEXT_FIRST, StanzaCutter
from wsgw.stanzas.fast_path import CommonStanzas, FramedStanzas, common_stanzas, framed_stanzas
from wsgw.stanzas.markup import CompleteMarkup
from wsgw.stanzas.parser import WHITESPACE, not_well_formed
from wsgw.stanzas.repair import SkippedStanza, StanzaRepair, long_tag
from wsgw.stanzas.worker_state import cutters

#: In one turn of the event loop, wsgw repairs at most this many bytes of a stanza, and starts no repair after
#: this many stanzas, so that other sessions get their turn.
_REPAIRED_AT_A_TIME = 16 * 1024
_STANZAS_AT_A_TIME = 64

_WHITE_SPACE = re.compile(rb"[ \t\r\n]*")


class Repair(NamedTuple):
    """One stanza of the server from which wsgw removed content."""

    #: Why, from ``errors.causes.REPAIRS``.
    reasons: frozenset[str]
    #: The stanza's ``from``, as the server wrote it; empty if it has none.
    sender: str


class ServerElements(Protocol):
    """A source of the server's elements: ``ServerStream``, or the reader of a login in front of it."""

    @property
    def failure(self) -> StreamError | None:
        """The error after which nothing more can be read; None before it."""

    @property
    def repairs(self) -> tuple[Repair, ...]:
        """The stanzas from which content was removed."""

    @property
    def declaration(self) -> bytes | None:
        """The argument of ``frame_stanzas``."""

    def frame_stanzas(self, declaration: bytes | None) -> None:
        """Let ``feed`` return common stanzas together, in frames (``FRAMES``), by native functions.

        ``declaration`` is inserted into each first tag that does not declare its namespace; None: no frames.
        """

    def take_framed(self) -> int:
        """Return the number of stanzas that ``feed`` has returned in frames since the last call."""

    @property
    def unusual(self) -> bool:
        """Whether there is a failure, a repair, or a rest for which ``feed(b"")`` must be called."""

    def take_repairs(self) -> tuple[Repair, ...]:
        """Return the repairs, and forget them."""

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Return (expanded name, bytes) of each element that ``data`` completes, in order."""

    def drop_parser(self) -> None:
        """Drop the current stanza and its parser; ``feed`` must not be called after that."""


class ServerStream:
    """Cuts the bytes of an XMPP server into stream headers, stanzas and the end tag.

    A new stream on the same connection (a restart, RFC 6120 section 4.3.3) is recognised in the server's own
    bytes, independently of the client. A ``StanzaCutter`` cuts nearly all stanzas; a ``StanzaRepair`` reads
    again one that the cutter refuses, and a ``SkippedStanza`` skips one that is too large.
    """

    __slots__ = (
        "_backlog",
        "_bindings",
        "_common",
        "_cutter",
        "_framed",
        "_markup",
        "_repair",
        "_skipped",
        "_uncounted",
        "declaration",
        "failure",
        "limit",
        "repairs",
        "unusual",
    )

    def __init__(self, limit: int = SERVER_STANZA_LIMIT) -> None:
        #: Bytes that one stanza may have.
        self.limit = limit
        #: The error after which nothing more can be read from this server; None before it.
        self.failure: StreamError | None = None
        #: The stanzas from which content was removed.
        self.repairs: tuple[Repair, ...] = ()
        #: The stream has failed, or has repairs, or is busy.
        self.unusual = False
        self._markup = CompleteMarkup()
        #: The reader of the current stanza is one of these three; between two stanzas, all are None.
        self._cutter: StanzaCutter | None = None
        self._repair: StanzaRepair | None = None
        self._skipped: SkippedStanza | None = None
        #: The bytes that wait for the repair in later turns; None if no bytes wait.
        self._backlog: bytearray | None = None
        #: A start tag with the namespace declarations of the stream's header; empty before it.
        self._bindings = b""
        #: Between two stanzas: recognises common stanzas among the next bytes.
        self._common: CommonStanzas | FramedStanzas | None = None
        #: What ``frame_stanzas`` has asked for; stanzas in earlier frames that ``take_framed`` must count.
        self.declaration: bytes | None = None
        self._framed: FramedStanzas | None = None
        self._uncounted = 0

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Return (expanded name, bytes) of each element that ``data`` completes, in order.

        A stream header has the name ``STREAM`` and the bytes of its tag, a stream's end the name
        ``STREAM_END``. White space between stanzas is dropped (RFC 6120 section 11.7). If the server breaks a
        rule, ``failure`` is set and the elements before the error are returned. While the stream is ``busy``,
        feed only ``b""``.
        """
        events: list[tuple[str, bytes]] = []
        if self._common is not None and not self._markup.held:
            data = self._common.take(data, events)
        if (data or self._backlog is not None) and self.failure is None:
            try:
                self._read(data, events)
            except StreamError as error:
                # A new error: the raised one refers to its stack frames, and they refer to this stream.
                self.failure = StreamError(error.condition, error.text)
                self.drop_parser()
        return events

    @property
    def busy(self) -> bool:
        """Whether bytes that were fed wait for the repair of their stanza in later turns."""
        return self._backlog is not None

    def take_repairs(self) -> tuple[Repair, ...]:
        """Return the repairs, and forget them."""
        repairs, self.repairs = self.repairs, ()
        self.unusual = self.failure is not None or self.busy
        return repairs

    def drop_parser(self) -> None:
        """Drop the current stanza and its parser; nothing may be fed after that."""
        self._common = self._skipped = None
        self._markup.take()
        self._backlog = None
        self.unusual = self.failure is not None or bool(self.repairs)
        self._leave_repair()
        if self._cutter is not None:
            self._cutter.release()
            self._cutter = None

    def frame_stanzas(self, declaration: bytes | None) -> None:
        """Let ``feed`` return common stanzas in frames, until a restart (``ServerElements``)."""
        self._stop_framing()
        if self._common is not None and declaration is not None:
            self.declaration = declaration
            self._framed = framed_stanzas(self._bindings, self.limit, declaration)
        if self._common is not None:
            self._recognise()

    def _stop_framing(self) -> None:
        self._uncounted = self.take_framed()
        self.declaration = self._framed = None

    def take_framed(self) -> int:
        """Return the number of stanzas in frames since the last call (``ServerElements``)."""
        count, self._uncounted = self._uncounted, 0
        return count if self._framed is None else count + self._framed.take_count()

    @property
    def at_border(self) -> bool:
        """Whether the stream is between two stanzas: ``feed`` has returned all complete bytes."""
        incomplete = self._cutter or self._repair or self._skipped or self._markup.held
        return bool(self._bindings) and not incomplete

    def _read(self, data: bytes, events: list[tuple[str, bytes]]) -> None:
        if self._backlog is not None:
            data = self._next_of_backlog(self._backlog, data)
        elif self._repair is not None and len(data) > _REPAIRED_AT_A_TIME:
            self._backlog = bytearray()
            data = self._next_of_backlog(self._backlog, data)
        while data:
            if self._skipped is not None:
                data = self._skip(self._skipped, data, events)
                continue
            chunk = self._markup.feed(data)
            if len(chunk) > TAG_LIMIT and self._repair is None and (start := long_tag(chunk)) >= 0:
                rest = chunk[start:] + self._markup.take()
                data = self._cut(chunk[:start], events) + rest
                if self._repair is None:
                    data = self._skip_from(data)
            else:
                data = self._cut(chunk, events) if chunk else b""
                if not data and (self._markup.held or self._cutter is not None):
                    data = self._check_unfinished()
            if data and self._repair is not None:
                self._backlog = bytearray(data) + (self._backlog or b"")
                self.unusual = True
                break

    def _next_of_backlog(self, backlog: bytearray, data: bytes) -> bytes:
        backlog += data
        data = bytes(backlog[:_REPAIRED_AT_A_TIME])
        del backlog[:_REPAIRED_AT_A_TIME]
        self.unusual = bool(backlog or self.repairs)
        if not backlog:
            self._backlog = None
        return data

    def _cut(self, chunk: bytes, events: list[tuple[str, bytes]]) -> bytes:
        """Append to ``events`` the elements that ``chunk`` completes; return the bytes to read again."""
        while chunk:
            if self._repair is not None:
                rest = self._repair.feed(chunk)
                if rest is None:
                    return self._rest_of_repair(self._repair)
                self._repaired(self._repair.stanza(), self._repair.reasons, events)
                chunk = rest
                continue
            cutter = self._cutter
            if cutter is None:
                cutter = self._cutter = cutters.take(self._bindings)
                self._common = None
            cutter.limit = self.limit
            chunk = cutter.cut(chunk, events)
            self._bindings = cutter.bindings  # the header may be in the same chunk as the next stanzas
            if cutter.refused:
                self._cutter = None
                cutter.release()
                self._repair = StanzaRepair(self._bindings, self.limit)
                if len(chunk) > _REPAIRED_AT_A_TIME or len(events) >= _STANZAS_AT_A_TIME:
                    return chunk + self._markup.take()
                continue
            if cutter.restarted:
                self._bindings = b""
                self._cutter = None
                if self._framed is not None:
                    self._stop_framing()
                cutter.release()
            elif cutter.depth == 1:
                self._cutter = None
                self._recognise()
                cutters.give_back(cutter)
        return b""

    def _rest_of_repair(self, repair: StanzaRepair) -> bytes:
        """Return the bytes to read again of a stanza that has not ended."""
        if repair.given_up:
            return self._skip_repaired(repair)
        if repair.successor is None:
            return b""
        self._repair = repair.successor
        return repair.reread + self._markup.take()

    def _between_stanzas(self) -> None:
        self._cutter = self._skipped = None
        self._leave_repair()
        self._recognise()

    def _recognise(self) -> None:
        """Between two stanzas: let the fast path try the next bytes."""
        if self._backlog is None:
            self._common = self._framed or common_stanzas(self._bindings, self.limit)

    def _leave_repair(self) -> None:
        if self._repair is not None:
            self._repair.release()
            self._repair = None

    def _repaired(
        self, stanza: tuple[str, bytes, str], reasons: Iterable[str], events: list[tuple[str, bytes]]
    ) -> None:
        name, element, sender = stanza
        events.append((name, element))
        if reasons:
            self.repairs += (Repair(frozenset(reasons), sender),)
            self.unusual = True
        self._between_stanzas()

    # -- stanzas that are too large ----------------------------------------------------------------

    def _check_unfinished(self) -> bytes:
        """Drop held white space between stanzas; check the size of an unfinished stanza or tag.

        Returns the bytes to read again if the stanza is too large.
        """
        markup = self._markup
        begun = self._cutter.pending if self._cutter is not None else b""
        size = self._repair.begun if self._repair is not None else len(begun)
        if not size and _WHITE_SPACE.fullmatch(markup.held):
            markup.clear()
        elif not size and TEXT_FIRST.match(markup.held):
            raise not_well_formed("the server does not speak XML")
        elif markup.refused is not None:
            raise markup.refused
        elif size + len(markup.held) > self.limit or markup.unfinished_tag > TAG_LIMIT:
            if self._repair is not None:
                return self._skip_repaired(self._repair)
            return self._skip_from(markup.take())
        return b""

    def _skip_repaired(self, repair: StanzaRepair) -> bytes:
        self._skipped = repair.skipped()
        self._leave_repair()
        return self._markup.take()

    def _skip_from(self, rest: bytes) -> bytes:
        """Skip the current stanza, or the one that ``rest`` begins with; return the bytes to skip."""
        cutter = self._cutter
        if not self._bindings or (cutter is not None and not cutter.depth):
            raise StreamError("policy-violation", "the server sent a header that is too large")
        if cutter is None:
            rest = rest.lstrip(WHITESPACE)
            self._skipped = SkippedStanza(self._bindings, rest, 0, self.limit)
            return rest
        self._skipped = SkippedStanza(self._bindings, bytes(cutter.pending), cutter.depth - 1, self.limit)
        self._cutter = None
        cutter.release()
        return rest

    def _skip(self, skipped: SkippedStanza, data: bytes, events: list[tuple[str, bytes]]) -> bytes:
        """Skip ``data`` up to the end of the stanza; return the bytes after it."""
        end = skipped.skip(data)
        if end < 0:
            return b""
        self._repaired(skipped.stanza(), skipped.reasons, events)
        return data[end:]
