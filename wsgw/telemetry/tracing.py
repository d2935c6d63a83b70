"""The dialogue of a session in the log: a line for each frame, each element and each change of state.

    #2 203.0.113.9 < browser message size=84      wsgw receives from the browser or from the server
    #2 203.0.113.9 > server message size=84       wsgw sends
    #2 203.0.113.9 = xmpp loop                    a state machine of the session has entered a state
    #2 203.0.113.9 ! ...                          an error

Sessions that the option ``trace`` names, or that an admin has chosen, have these lines at info; with
``log_level: debug`` all others have them at debug. A line shows the name, namespace and size of an element,
the type of a stanza and, at info, its id; never text, other attributes or content. A trace wraps the objects
that a session's machines read from and write to; when it is no longer wanted, it removes the wrappers. A
session without a trace has none, and costs no more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import ip_address
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from wsgw.config.model import Traced
from wsgw.errors import StreamError
from wsgw.stanzas.parser import STANZAS, WHITESPACE, split_name
from wsgw.stanzas.server import Repair, ServerElements
from wsgw.stanzas.start_tag import first_tag
from wsgw.telemetry import session_log
from wsgw.telemetry.peer import Peer
from wsgw.websocket_frame import FRAGMENT, Opcode
from wsgw.websocket_session import Frames, WebSocketSession
from wsgw.websocket_xmpp import Browser, WebSocketXmpp

log = logging.getLogger("wsgw.tracing")
#: A trace that the option names is logged at every ``log_level``.
log.setLevel(logging.INFO)

#: Characters of a name or an attribute in a line; of a namespace.
_MAX_WORD, _MAX_NAMESPACE = 64, 128
_FROM_BROWSER, _TO_BROWSER = "browser>gateway", "gateway>browser"
_FROM_SERVER, _TO_SERVER = "server>gateway", "gateway>server"
_SIGNS = {
    _FROM_BROWSER: "< browser",
    _TO_BROWSER: "> browser",
    _FROM_SERVER: "< server",
    _TO_SERVER: "> server",
}
_ELEMENT_LINES = {way: f"#%(connection)d %(client)s {sign} %(element)s" for way, sign in _SIGNS.items()}
_FRAME_LINES = {way: f"#%(connection)d %(client)s {sign} %(frame)s frame" for way, sign in _SIGNS.items()}
_CONTROL_FRAME = 0x08
_NO_ROOT = b"<messages>"


class Session(Protocol):
    """A session, as a trace needs it."""

    session: WebSocketSession
    xmpp: WebSocketXmpp
    on_enter: Callable[[str], None] | None

    @property
    def peer(self) -> Peer: ...


class Tracing:
    """The traces of the sessions of one process."""

    def __init__(self) -> None:
        self._targets = Traced()
        self._everything = False
        #: Whether a new session may have to be traced.
        self._any = False
        self._traces: dict[Session, _Trace] = {}
        #: Running sessions that an admin has chosen.
        self._chosen: set[Session] = set()

    def choose(self, session: Session, *, on: bool) -> None:
        """Trace the running ``session`` as if the option ``trace`` named it, or no longer."""
        (self._chosen.add if on else self._chosen.discard)(session)
        self._look_at(session)

    def change(self, targets: Traced, sessions: Iterable[Session], *, everything: bool = False) -> None:
        """Trace the sessions that ``targets`` names from now on: the running ``sessions`` and new ones.

        With ``everything`` all other sessions are traced too, at level debug.
        """
        self._targets, self._everything = targets, everything
        self._any = bool(targets.networks or targets.jids or everything)
        for session in sessions:
            self._look_at(session)

    def began(self, session: Session) -> None:
        """Trace a new session, if the settings ask for it."""
        if self._any:
            self._look_at(session)

    def ended(self, session: Session) -> None:
        """Remove the trace of a session that has ended."""
        session.xmpp.login.when_over = None
        self._chosen.discard(session)
        trace = self._traces.pop(session, None)
        if trace is not None:
            trace.remove()

    def _look_at(self, session: Session) -> None:
        """Begin or end the trace of ``session`` as the settings and its login ask for."""
        trace, named = self._traces.get(session), self._names(session)
        if trace is not None and (not (named or self._everything) or named != trace.named):
            del self._traces[session]
            trace.remove()
            trace = None
        if trace is None and (named or self._everything):
            self._traces[session] = _Trace(session, named=named)
        bound = partial(self._look_at, session) if self._targets.jids else None
        session.xmpp.login.when_over = bound

    def _names(self, session: Session) -> bool:
        """Whether an admin has chosen the session, or the option ``trace`` names its user or address."""
        if session in self._chosen:
            return True
        user, slash, resource = session.xmpp.login.jid.partition("/")
        user = user.lower()
        if user and not self._targets.jids.isdisjoint((user, f"{user}{slash}{resource}")):
            return True
        try:
            address = ip_address(session.peer.client)
        except ValueError:  # the empty address of a Unix socket
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._targets.networks)


class _Trace:
    """The trace of one session: at info if the option ``trace`` names the session, otherwise at debug."""

    def __init__(self, session: Session, *, named: bool) -> None:
        self.named = named
        self._log = log.info if named else session_log.log.debug
        self._relay = session
        self._session = session.session
        self._xmpp = session.xmpp
        self._connection = {"connection": session.peer.connection_id, "client": session.peer.client}
        self._session.rewire(lambda frames: _TracedFrames(frames, self))
        self._session.data_to_send = _FramesToBrowser(self._session.data_to_send, self)
        self._xmpp.rewire(
            lambda browser: _TracedBrowser(browser, self), lambda server: _TracedServer(server, self)
        )
        self._xmpp.to_upstream = _ElementsToServer(self._xmpp.to_upstream, self)
        session.on_enter = partial(self.state, "relay")
        self._session.on_enter = partial(self.state, "websocket")
        self._xmpp.on_enter = partial(self.state, "xmpp")
        if named:
            known = {"event": "traced", **self._connection}
            log.info("#%(connection)d %(client)s = traced from now on", known)

    def remove(self) -> None:
        """End the trace: remove its wrappers."""
        self._session.rewire(_without)
        self._session.data_to_send = list(self._session.data_to_send)
        self._xmpp.rewire(_without, _without)
        self._xmpp.to_upstream = list(self._xmpp.to_upstream)
        self._relay.on_enter = self._session.on_enter = self._xmpp.on_enter = None
        if self.named:
            known = {"event": "traced", **self._connection}
            log.info("#%(connection)d %(client)s = no longer traced", known)

    def state(self, machine: str, state: str) -> None:
        """Log that a machine of the session has entered ``state``."""
        known = {"event": "state", **self._connection, "machine": machine, "state": state}
        self._log("#%(connection)d %(client)s = %(machine)s %(state)s", known)

    def frame(self, direction: str, opcode: int, size: int) -> None:
        """Log a frame without text; ``size`` is that of its payload in bytes."""
        known = {"event": "trace", **self._connection, "direction": direction, "frame": _frame_name(opcode)}
        self._log(_FRAME_LINES[direction], known, extra=_fields(size=size))

    def element(self, direction: str, text: bytes, name: str | None = None) -> None:
        """Log an element, white space or the end of a stream; ``name`` is its expanded name, if known."""
        framing = self._xmpp.framing
        root = framing.client_root if direction in (_FROM_BROWSER, _TO_SERVER) else framing.server_root
        description = _describe(root or _NO_ROOT, text, name)
        known = {"event": "trace", **self._connection, "direction": direction, "element": description.name}
        details = _fields(
            namespace=description.namespace,
            type=description.type,
            id=description.id if self.named else None,
            size=len(text),
            framing=self._xmpp.framing_name or None,
        )
        self._log(_ELEMENT_LINES[direction], known, extra=details)


def _fields(**fields: object) -> dict[str, dict[str, object]]:
    return {"fields": fields}


def _frame_name(opcode: int) -> str:
    return Opcode(opcode).name.lower()


class _Description(NamedTuple):
    name: str
    namespace: str | None = None
    type: str | None = None
    id: str | None = None


def _describe(root: bytes, text: bytes, name: str | None) -> _Description:
    """The loggable parts of an element. ``root``: a start tag with the namespace bindings that it may use."""
    text = text.strip(WHITESPACE)
    if not text:
        return _Description("end of the stream" if name == "" else "white space")
    if text.startswith(b"</"):  # no element begins with an end tag
        return _Description("end of the stream")
    try:
        written, attributes = first_tag(root, text)
    except StreamError as error:
        if not name:
            return _Description("long tag" if error.condition == "policy-violation" else "no XML")
        written, attributes = name, {}  # its prefixes are bound by the server's header, which arrived with it
    expanded = name or written
    namespace, local = split_name(expanded)
    # The attributes of other elements may be secret: the id of <enabled/> resumes a session.
    values = {key: value[:_MAX_WORD] for key, value in attributes.items() if expanded in STANZAS}
    namespace = namespace[:_MAX_NAMESPACE]
    return _Description(local[:_MAX_WORD], namespace or None, values.get("type"), values.get("id"))


# -- the wrappers --------------------------------------------------------------------------------


def _without(traced: Any) -> Any:
    return traced.inner


class _Limited(Protocol):
    max_message_size: int


_Inner = TypeVar("_Inner", bound=_Limited)


class _Wrapper(Generic[_Inner]):
    """Wraps an object with a limit on the size of messages; the limit is that of the wrapped object."""

    def __init__(self, inner: _Inner, trace: _Trace) -> None:
        self.inner = inner
        self._trace = trace

    @property
    def max_message_size(self) -> int:
        return self.inner.max_message_size

    @max_message_size.setter
    def max_message_size(self, size: int) -> None:
        self.inner.max_message_size = size


class _TracedFrames(_Wrapper[Frames]):
    """Logs the frames from the browser, each alone: the wrapped parser takes none together."""

    def __init__(self, inner: Frames, trace: _Trace) -> None:
        super().__init__(inner, trace)
        self.stanza_bounds: tuple[int, int, int] | None = None
        inner.stanza_bounds = None

    @property
    def taken(self) -> tuple[int, int]:
        return self.inner.taken

    def feed(self, data: bytes) -> None:
        self.inner.feed(data)

    def parse_stream(self) -> tuple[int, bytes] | None:
        message = self.inner.parse_stream()
        if message is None:
            return None
        if message is not FRAGMENT and message[0] == Opcode.TEXT:
            self._trace.element(_FROM_BROWSER, message[1])
        else:
            self._trace.frame(_FROM_BROWSER, message[0], len(message[1]))
        return message


class _FramesToBrowser(list[bytes]):
    """Logs the control frames for the browser; ``_TracedBrowser`` logs the messages."""

    def __init__(self, frames: Iterable[bytes], trace: _Trace) -> None:
        super().__init__(frames)
        self._trace = trace

    def append(self, frame: bytes) -> None:
        super().append(frame)
        if frame[0] & _CONTROL_FRAME:
            self._trace.frame(_TO_BROWSER, frame[0] & 0x0F, len(frame) - 2)


class _TracedBrowser(_Wrapper[Browser]):
    """Logs the messages for the browser."""

    def send(self, text: bytes) -> None:
        self._trace.element(_TO_BROWSER, text)
        self.inner.send(text)

    @property
    def stanza_bounds(self) -> tuple[int, int, int] | None:
        return self.inner.stanza_bounds

    @stanza_bounds.setter
    def stanza_bounds(self, bounds: tuple[int, int, int] | None) -> None:
        self.inner.stanza_bounds = bounds

    def send_frames(self, frames: bytes) -> None:
        self.inner.send_frames(frames)

    def close(self, code: int, reason: str) -> None:
        self.inner.close(code, reason)


class _TracedServer:
    """Logs the elements from the XMPP server."""

    def __init__(self, inner: ServerElements, trace: _Trace) -> None:
        self.inner = inner
        self._trace = trace
        self.declaration: bytes | None = None
        inner.frame_stanzas(None)

    def frame_stanzas(self, declaration: bytes | None) -> None:
        """Note what holds after the trace: it logs each stanza alone."""
        self.declaration = declaration

    def take_framed(self) -> int:
        return self.inner.take_framed()

    @property
    def failure(self) -> StreamError | None:
        return self.inner.failure

    @property
    def repairs(self) -> tuple[Repair, ...]:
        return self.inner.repairs

    @property
    def unusual(self) -> bool:
        return self.inner.unusual

    def take_repairs(self) -> tuple[Repair, ...]:
        return self.inner.take_repairs()

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        events = self.inner.feed(data)
        for name, element in events:
            self._trace.element(_FROM_SERVER, element, name)
        return events

    def drop_parser(self) -> None:
        self.inner.drop_parser()


class _ElementsToServer(list[bytes]):
    """Logs the elements for the XMPP server."""

    def __init__(self, elements: Iterable[bytes], trace: _Trace) -> None:
        super().__init__(elements)
        self._trace = trace

    def append(self, element: bytes) -> None:
        super().append(element)
        self._trace.element(_TO_SERVER, element)
