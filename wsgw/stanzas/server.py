"""Cuts the bytes of an XMPP server into stanzas, and gives back the server's own bytes.

Two habits of expat shape both directions. An incomplete token may be held back although its rest has
come (reparse deferral: expat 2.6 and patched older ones), so a parser is only ever fed up to the
``>`` that ends a tag. And a parser keeps every name it has seen, so it is replaced, between
stanzas, once it knows many. Most stanzas never reach a parser: see ``fast_path``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from wsgw.errors import StreamError
from wsgw.stanzas.cutter import SERVER_STANZA_LIMIT, TAG_LIMIT, TEXT_FIRST, StanzaCutter
from wsgw.stanzas.fast_path import SHALLOW_SIZE, ShallowStanzas, shallow_stanzas
from wsgw.stanzas.markup import CompleteMarkup
from wsgw.stanzas.parser import WHITESPACE, not_well_formed
from wsgw.stanzas.repair import SkippedStanza, StanzaRepair, long_tag
from wsgw.stanzas.worker_state import cutters

#: Bytes of a stanza under repair that are read before other sessions have their turn, and stanzas after
#: which none is repaired in the same turn.
_REPAIRED_AT_A_TIME = 16 * 1024
_STANZAS_AT_A_TIME = 64

_WHITE_SPACE = re.compile(rb"[ \t\r\n]*")


class Fault(NamedTuple):
    """That something was taken out of a stanza of the server's."""

    #: ``stanza_repair.REASONS``.
    reasons: frozenset[str]
    #: The stanza's ``from``, as the server wrote it; empty if there is none.
    sender: str


class ServerElements(Protocol):
    """Where the server's elements come from: ``ServerStream``, or what stands before it."""

    @property
    def failure(self) -> StreamError | None:
        """Why nothing more can be read."""

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What was taken out of stanzas."""

    @property
    def unusual(self) -> bool:
        """Whether it failed, or has faults, or must be fed again for the rest of what it was fed."""

    def take_faults(self) -> tuple[Fault, ...]:
        """The faults, which are forgotten."""

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Return what ``data`` completes, as (expanded name, bytes) in order."""

    def drop_parser(self) -> None:
        """Let go of what is under way."""


class ServerStream:
    """Cuts the bytes of an XMPP server into stream headers, stanzas and the end tag.

    A new stream on the same connection (a restart) is seen in the server's own bytes; nothing the
    client does resets this side. Nearly all of it goes through a ``StanzaCutter``; a stanza that one refuses
    is read again by a ``StanzaRepair``, one that is too large is passed over by a ``SkippedStanza``.
    """

    __slots__ = (
        "_backlog",
        "_bindings",
        "_cutter",
        "_markup",
        "_repair",
        "_shallow",
        "_skipped",
        "failure",
        "faults",
        "limit",
        "unusual",
    )

    def __init__(self, limit: int = SERVER_STANZA_LIMIT) -> None:
        #: Bytes of one stanza.
        self.limit = limit
        #: Why nothing more can be read from this server.
        self.failure: StreamError | None = None
        #: What was taken out of stanzas.
        self.faults: tuple[Fault, ...] = ()
        #: It has failed, or has faults, or is busy.
        self.unusual = False
        self._markup = CompleteMarkup()
        #: Where the stream stands, unless that is between two stanzas: in one of these three.
        self._cutter: StanzaCutter | None = None
        self._repair: StanzaRepair | None = None
        self._skipped: SkippedStanza | None = None
        #: What waits to be read again.
        self._backlog: bytearray | None = None
        #: What the stream's header binds; empty before it.
        self._bindings = b""
        #: Between two stanzas: recognises what it can of what follows.
        self._shallow: ShallowStanzas | None = None

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Return what ``data`` completes, as (expanded name, bytes) in order.

        A header comes as ``STREAM`` with the bytes of its tag, a stream's end as ``STREAM_END``.
        White space between stanzas is dropped. If the server broke the rules, ``failure`` is set
        and what came before is returned. While the stream is ``busy``, nothing should be fed but ``b""``.
        """
        events: list[tuple[str, bytes]] = []
        if self._shallow is not None and not self._markup.held:
            data = self._shallow.take(data, events)
        if (data or self._backlog is not None) and self.failure is None:
            try:
                self._read(data, events)
            except StreamError as error:
                # Another one: what was raised holds the frames it came through, and they hold this stream.
                self.failure = StreamError(error.condition, error.text)
                self.drop_parser()
        return events

    @property
    def busy(self) -> bool:
        """Whether there is more to be read of what was fed: a stanza that is read again takes its time."""
        return self._backlog is not None

    def take_faults(self) -> tuple[Fault, ...]:
        """The faults, which are forgotten."""
        faults, self.faults = self.faults, ()
        self.unusual = self.failure is not None or self.busy
        return faults

    def drop_parser(self) -> None:
        """Let go of what is under way; nothing more may be fed then."""
        self._shallow = self._skipped = None
        self._markup.take()
        self._backlog = None
        self.unusual = self.failure is not None or bool(self.faults)
        self._leave_repair()
        if self._cutter is not None:
            self._cutter.let_go()
            self._cutter = None

    @property
    def at_border(self) -> bool:
        """Whether nothing is under way: everything fed has been given back."""
        under_way = self._cutter or self._repair or self._skipped or self._markup.held
        return bool(self._bindings) and not under_way

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
        self.unusual = bool(backlog or self.faults)
        if not backlog:
            self._backlog = None
        return data

    def _cut(self, chunk: bytes, events: list[tuple[str, bytes]]) -> bytes:
        """Add what ``chunk`` completes to ``events``; return what is to be read again, in another way."""
        while chunk:
            if self._repair is not None:
                rest = self._repair.feed(chunk)
                if rest is None:
                    return self._left_by(self._repair)
                self._repaired(self._repair.stanza(), self._repair.reasons, events)
                chunk = rest
                continue
            cutter = self._cutter
            if cutter is None:
                cutter = self._cutter = cutters.take(self._bindings)
                self._shallow = None
            cutter.limit = self.limit
            chunk = cutter.cut(chunk, events)
            self._bindings = cutter.bindings  # the header may have come in the same chunk as what follows
            if cutter.refused:
                self._cutter = None
                cutter.let_go()
                self._repair = StanzaRepair(self._bindings, self.limit)
                if len(chunk) > _REPAIRED_AT_A_TIME or len(events) >= _STANZAS_AT_A_TIME:
                    return chunk + self._markup.take()
                continue
            if cutter.restarted:
                self._bindings = b""
                self._cutter = None
                cutter.let_go()
            elif cutter.depth == 1:
                self._cutter = None
                self._recognise()
                cutters.give_back(cutter)
        return b""

    def _left_by(self, repair: StanzaRepair) -> bytes:
        """What is to be read again of a stanza that has not ended."""
        if repair.given_up:
            return self._skip_repaired(repair)
        if repair.successor is None:
            return b""
        self._repair = repair.successor
        return repair.again + self._markup.take()

    def _between_stanzas(self) -> None:
        self._cutter = self._skipped = None
        self._leave_repair()
        self._recognise()

    def _recognise(self) -> None:
        """Between two stanzas: what comes may need no parser."""
        if self.limit >= SHALLOW_SIZE and self._backlog is None:
            self._shallow = shallow_stanzas(self._bindings)

    def _leave_repair(self) -> None:
        if self._repair is not None:
            self._repair.let_go()
            self._repair = None

    def _repaired(
        self, stanza: tuple[str, bytes, str], reasons: Iterable[str], events: list[tuple[str, bytes]]
    ) -> None:
        name, element, sender = stanza
        events.append((name, element))
        if reasons:
            self.faults += (Fault(frozenset(reasons), sender),)
            self.unusual = True
        self._between_stanzas()

    # -- what is too large -------------------------------------------------------------------------

    def _check_unfinished(self) -> bytes:
        """What waits for more bytes: white space between stanzas goes, the rest is bounded.

        Returns what is to be read again if that is too large.
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
        """Skip the stanza under way, or the one that ``rest`` begins with; return what is to be skipped."""
        cutter = self._cutter
        if not self._bindings or (cutter is not None and not cutter.depth):
            raise StreamError("policy-violation", "the server sent a header that is too large")
        if cutter is None:
            rest = rest.lstrip(WHITESPACE)
            self._skipped = SkippedStanza(self._bindings, rest, 0, self.limit)
            return rest
        self._skipped = SkippedStanza(self._bindings, bytes(cutter.pending), cutter.depth - 1, self.limit)
        self._cutter = None
        cutter.let_go()
        return rest

    def _skip(self, skipped: SkippedStanza, data: bytes, events: list[tuple[str, bytes]]) -> bytes:
        """Pass over ``data`` up to the end of the stanza; return what follows it."""
        end = skipped.skip(data)
        if end < 0:
            return b""
        self._repaired(skipped.stanza(), skipped.reasons, events)
        return data[end:]
