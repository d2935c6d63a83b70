"""One direction of a session: it reads a source socket, and writes a machine's output to a sink socket.

A session has two directions: ``up``, from the browser to the XMPP server, and ``down``, from the server to
the browser. Both follow the same rules. A direction is in one of three states:

    reading    waits for the next bytes of its source (``active_once``)
    working    the source delivered more than ``BUDGET`` messages; a later turn of the loop processes the rest
    held       back-pressure: the source is not read

    event                                   state    action
    the source delivers bytes               reading  process
    the later turn begins                   working  process
    the sink's queue is empty again         held     process
    the sweep finds no reason to wait       held     process

    after processing                                 next state
    the sink queues above ``send_buffer_high``       held
    the shaper pauses the source                     held
    the machine waits for the other side             held
    no messages are left                             reading
    messages are left                                working

A direction without a source (not connected, or over) ignores these events. Callbacks run in the hub: they
never block and never raise.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol

import gevent

from wsgw.errors import causes
from wsgw.errors.causes import Cause
from wsgw.socket_async import SocketAsync
from wsgw.websocket_session import WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp

#: The most messages or elements processed in one callback; the rest waits for the loop's next turn.
BUDGET = 256
#: Seconds between an element that may enable stream management (``login.ENABLING``) and the next elements: a
#: busy client has read it by then. Only logins take so much longer.
PAUSE = 0.005
#: Seconds for which a source may exceed its rate before its shaper pauses it.
_BURST = 1.0


class Life(Protocol):
    """The session (``Relay``), as its directions and its sweep see it."""

    def settle(self) -> None:
        """Send the bytes that the machines have queued for either side, and obey their requests."""

    def fault(self) -> None:
        """End the session because of the exception that is being handled."""

    def repaired(self) -> None:
        """Report that stanzas of the XMPP server were repaired."""

    def cut_browser(self, cause: Cause) -> None:
        """End the WebSocket without a Close frame."""


class Intake(Protocol):
    """The machine that reads a direction's source, as the direction sees it."""

    def take(self, data: bytes) -> bool:
        """Take bytes of the source, then do as ``process``."""

    def process(self) -> bool:
        """Process up to ``BUDGET`` messages or elements; return whether more may wait."""

    def rest_in(self) -> float | None:
        """Seconds until the rest may be processed; None if it waits for the other side."""

    def lost(self) -> None:
        """Handle that the source's connection is lost."""


class FromBrowser:
    """The WebSocket's machine, as ``up`` sees it."""

    __slots__ = ("_session",)

    def __init__(self, session: WebSocketSession) -> None:
        self._session = session

    def take(self, data: bytes) -> bool:
        session = self._session
        session.receive_data(data, monotonic())
        return session.process(BUDGET)

    def process(self) -> bool:
        return self._session.process(BUDGET)

    def rest_in(self) -> float | None:
        return None if self._session.waits else 0.0

    def lost(self) -> None:
        self._session.lost()


class FromServer:
    """The XMPP session's machine, as ``down`` sees it."""

    __slots__ = ("_life", "_xmpp")

    def __init__(self, xmpp: WebSocketXmpp, life: Life) -> None:
        self._xmpp = xmpp
        self._life = life

    def take(self, data: bytes) -> bool:
        xmpp = self._xmpp
        xmpp.upstream_data(data)
        return xmpp.process_upstream(BUDGET) and self._more()

    def process(self) -> bool:
        return self._xmpp.process_upstream(BUDGET) and self._more()

    def _more(self) -> bool:
        if self._xmpp.repaired:
            self._life.repaired()
        return True

    def rest_in(self) -> float | None:
        if self._xmpp.pauses:
            self._xmpp.pauses = False
            return PAUSE
        return 0.0

    def lost(self) -> None:
        self._xmpp.upstream_lost(causes.UPSTREAM_LOST)


class Shaper:
    """Limits a source to ``rate`` bytes a second, in bursts of at most one second (ejabberd's ``shaper``)."""

    __slots__ = ("_rate", "_read_again_at")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._read_again_at = 0.0

    def passed(self, size: int) -> None:
        """Count ``size`` bytes that the source has delivered."""
        self._read_again_at = max(self._read_again_at, monotonic()) + size / self._rate

    @property
    def pauses(self) -> bool:
        """Whether the source has exceeded its rate."""
        return self._read_again_at > monotonic() + _BURST


class _Over:
    """Replaces the session and its machine after their end, so that no reference cycle is left."""

    def settle(self) -> None: ...

    def fault(self) -> None: ...

    def repaired(self) -> None: ...

    def cut_browser(self, cause: Cause) -> None: ...

    def take(self, data: bytes) -> bool:
        return False

    def process(self) -> bool:
        return False

    def rest_in(self) -> float | None:
        return None

    def lost(self) -> None: ...


OVER = _Over()


class Direction:
    """Moves the bytes of one direction, and does not read its source while its sink takes no bytes."""

    __slots__ = (
        "_intake",
        "_life",
        "_limit",
        "_overflows",
        "_shaper",
        "_working",
        "bytes_received",
        "bytes_sent",
        "sink",
        "source",
    )

    def __init__(self, life: Life, intake: Intake, limit: int, shaper: Shaper | None = None) -> None:
        """While the sink's queue is longer than ``limit`` bytes, the source is not read."""
        self._life: Life = life
        self._intake: Intake = intake
        self._limit = limit
        self._shaper = shaper
        #: Called when a source that has sent FIN has sent more than the sink takes; None before the FIN.
        self._overflows: Callable[[], None] | None = None
        #: A later turn of the loop will process the rest of a delivery.
        self._working = False
        #: The sockets; None before they are connected, and after the last read or write.
        self.source: SocketAsync | None = None
        self.sink: SocketAsync | None = None
        #: Number of bytes so far, without the overhead of TLS.
        self.bytes_received = self.bytes_sent = 0

    def received(self, data: bytes) -> None:
        """Handle a delivery of the source: bytes, b"" at the end of its stream."""
        try:
            if data:
                self.bytes_received += len(data)
                if self._shaper is not None:
                    self._shaper.passed(len(data))
                self._continue(self._intake.take(data))
            else:
                self._intake.lost()
                self._life.settle()
        except Exception:
            self._life.fault()

    def resume(self) -> None:
        """Process again when the reason to wait has gone, unless the direction is reading or working."""
        if self.source is not None and not self.source.armed and not self._working:
            self.pump()

    def pump(self) -> None:
        """Process the bytes that the machine has from the source."""
        self._working = False
        if self.source is None:
            return
        try:
            self._continue(self._intake.process())
        except Exception:
            self._life.fault()

    def _continue(self, more: bool) -> None:
        """After processing: send the output, then read, process the rest later, or wait."""
        self._life.settle()
        source = self.source
        if source is None:
            return
        sink = self.sink
        if sink is not None and sink.outbox.queued > self._limit:
            if self._overflows is not None:
                self._overflows()
                self._life.settle()
        elif self._shaper is not None and self._shaper.pauses:
            return
        elif not more:
            source.active_once()
        elif not self._working:
            self._work_later()

    def _work_later(self) -> None:
        seconds = self._intake.rest_in()
        if seconds is None:
            return
        self._working = True
        if seconds:
            gevent.spawn_later(seconds, self.pump)
        else:
            gevent.get_hub().loop.run_callback(self.pump)

    @property
    def must_wait(self) -> bool:
        """Whether back-pressure or the shaper forbids reading the source."""
        if self._shaper is not None and self._shaper.pauses:
            return True
        return self.sink is not None and self.sink.outbox.queued > self._limit

    def read_to_end(self, limit: int, overflows: Callable[[], None]) -> None:
        """After the source's FIN: read the rest without a shaper.

        ``overflows`` is called when the sink's queue is longer than ``limit`` bytes.
        """
        self._limit, self._overflows, self._shaper = limit, overflows, None
        self.resume()

    def detach(self) -> None:
        """The session is over: drop it and its machine; the numbers of bytes remain."""
        self._life = self._intake = OVER
        self._overflows = None

    def send(self, pieces: list[bytes]) -> None:
        """Send a machine's output in one write, and empty the list; without a sink, the bytes are lost."""
        sink = self.sink
        if sink is None:
            pieces.clear()
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.bytes_sent += len(data)
        sink.send(data)
