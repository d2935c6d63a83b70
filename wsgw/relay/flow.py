"""One direction of a session: the socket it is read from, the machine between, the socket it is written to.

A session has two: ``up``, from the browser to the XMPP server, and ``down``, from the server to the browser.
Both obey the rules that stand here. A direction is in one of three states:

    reading    the next delivery of its source is awaited (``active_once``)
    working    a delivery held more than one turn's budget; the rest has a place in a later turn
    held       back-pressure: the source is not read

    event                         in      then
    the source delivers           reading work
    the turn of the rest comes    working work
    the sink has taken all        held    work
    the sweep finds no obstacle   held    work

    after work                                            next
    the sink holds more than ``send_buffer_high``         held
    the shaper pauses the source                          held
    the machine waits for the other side                  held
    nothing is left                                       reading
    something is left                                     working

A direction without a source (not connected, or over) does nothing at these events. Callbacks run in the hub:
they never block and never raise.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol

import gevent

from wsgw.errors import causes
from wsgw.errors.causes import Cause
from wsgw.socket_async import LAST_WORDS, SocketAsync
from wsgw.websocket_session import WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp

#: Messages or elements worked off in one callback; the rest waits for the loop's next turn.
BUDGET = 256
#: How long a client is left alone with ``<enabled/>``, in seconds: enough for a busy one to have read it
#: before what follows comes. A login takes as much longer, nothing else does.
PAUSE = 0.005


class Life(Protocol):
    """What a direction, and the sweep, need of their session."""

    def settle(self) -> None:
        """Send what the machines have queued for either side."""

    def fault(self) -> None:
        """End the session for the exception that is being handled."""

    def repaired(self) -> None:
        """Stanzas of the XMPP server were repaired."""

    def cut_browser(self, cause: Cause) -> None:
        """Lose the browser without its Close: it does not read, or is not to be told."""


class Intake(Protocol):
    """What a direction needs of the machine that understands its source."""

    def take(self, data: bytes) -> bool:
        """Take bytes of the source, and work off the first of what they hold; see ``process``."""

    def process(self) -> bool:
        """Work off up to ``BUDGET`` messages or elements; True when more may be waiting."""

    def rest_in(self) -> float | None:
        """In how many seconds to work off the rest; None: not before the other side is ready."""

    def lost(self) -> None:
        """The source's connection is gone."""


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
    """Holds a source to ``rate`` bytes a second, a second's worth at once (ejabberd's ``shaper``)."""

    __slots__ = ("_rate", "_read_again_at")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._read_again_at = 0.0

    def passed(self, size: int) -> None:
        """``size`` bytes have come."""
        self._read_again_at = max(self._read_again_at, monotonic()) + size / self._rate

    @property
    def pauses(self) -> bool:
        """Whether the source is ahead of its rate."""
        return self._read_again_at > monotonic() + LAST_WORDS


class _Over:
    """Stands in for the session and its machine once they are over: what holds each other is let go of."""

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
    """Moves the bytes of one direction and holds its source back while its sink does not take them."""

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
        """``limit`` is what the sink may hold while the source is read, in bytes."""
        self._life: Life = life
        self._intake: Intake = intake
        self._limit = limit
        self._shaper = shaper
        #: What is done when the last words of a source are more than the sink takes; None while it may wait.
        self._overflows: Callable[[], None] | None = None
        #: A later turn of the loop works off the rest of a delivery.
        self._working = False
        #: The sockets; None before they are connected, and once they are read or written no more.
        self.source: SocketAsync | None = None
        self.sink: SocketAsync | None = None
        #: What has passed so far, without TLS.
        self.bytes_received = self.bytes_sent = 0

    def received(self, data: bytes) -> None:
        """The source delivers: bytes, or nothing at its end."""
        try:
            if data:
                self.bytes_received += len(data)
                if self._shaper is not None:
                    self._shaper.passed(len(data))
                self._go_on(self._intake.take(data))
            else:
                self._intake.lost()
                self._life.settle()
        except Exception:
            self._life.fault()

    def resume(self) -> None:
        """Work on, unless the source is being read or a later turn is to come: the obstacle is gone."""
        if self.source is not None and not self.source.armed and not self._working:
            self.pump()

    def pump(self) -> None:
        """Work off what the machine holds of the source."""
        self._working = False
        if self.source is None:
            return
        try:
            self._go_on(self._intake.process())
        except Exception:
            self._life.fault()

    def _go_on(self, more: bool) -> None:
        """After work: settle, then read on, work on, or wait."""
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
        """Whether the source may not be read now."""
        if self._shaper is not None and self._shaper.pauses:
            return True
        return self.sink is not None and self.sink.outbox.queued > self._limit

    def read_to_end(self, limit: int, overflows: Callable[[], None]) -> None:
        """The source has sent FIN: read on at any rate, until the sink holds more than ``limit`` bytes.

        ``overflows`` is called then.
        """
        self._limit, self._overflows, self._shaper = limit, overflows, None
        self.resume()

    def detach(self) -> None:
        """The session is over; what has passed is still known."""
        self._life = self._intake = OVER
        self._overflows = None

    def send(self, pieces: list[bytes]) -> None:
        """Send what a machine has queued in one write, and empty the list; without a sink it is lost."""
        sink = self.sink
        if sink is None:
            pieces.clear()
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.bytes_sent += len(data)
        sink.send(data)
