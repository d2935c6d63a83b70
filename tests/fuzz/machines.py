"""Targets for the two state machines: an input is a script; the first byte of each record is its event."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from unittest import mock
from xml.parsers import expat

from tests.fuzz.oracles import StreamReader, chunkings, is_one_element, records, server_frames, tree
from tests.support.wire import CLOSE, TEXT
from wsgw.errors import CloseCode, Farewell, SessionError, causes
from wsgw.errors.causes import Cause
from wsgw.stanzas.parser import STREAM
from wsgw.websocket_session import Timers, WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp, XmppLimits
from wsgw.xmpp import framing
from wsgw.xmpp.domain import normalise_domain

#: Splits the bytes of a record into the pieces in which they arrive.
Split = Callable[[bytes], list[bytes]]

_TIMERS = Timers(ping_interval=30, pong_timeout=20, idle_timeout=300, close_timeout=5)
_LIMITS = XmppLimits(
    max_stanza_size=3000,
    max_depth=10,
    max_attributes=10,
    open_timeout=10.0,
    auth_timeout=60.0,
    idle_timeout=300.0,
)
_MAX_MESSAGE = 1000
_FAULT = SessionError(causes.FAULT, code=CloseCode.INTERNAL_ERROR, farewell=Farewell.FIN)
_SPLITS: tuple[Split, ...] = (lambda data: next(chunkings(data)), lambda data: list(chunkings(data))[1])


def _whole(data: bytes) -> list[bytes]:
    return [data]


def _same_in_pieces(play: Callable[[bytes, Split], object], data: bytes) -> None:
    whole = play(data, _whole)
    for split in _SPLITS:
        assert play(data, split) == whole


# -- the WebSocket -------------------------------------------------------------------------------


class _XmppSide:
    """Notes the calls, and answers like the real one."""

    def __init__(self, session: WebSocketSession) -> None:
        self.ready = True
        self.told: list[object] = []
        self._session = session

    def process_request(self, text: bytes) -> None:
        assert self.ready
        text.decode()
        assert len(text) <= self._session.max_message_size
        self.told.append(text)
        if text == b"large":
            self._session.max_message_size = 2 * _MAX_MESSAGE
        elif text == b"wait":
            self.ready = False

    def process_stanzas(self, elements: bytes, stanzas: int) -> None:
        raise AssertionError("stanza_bounds were not set")

    def browser_lost(self, cause: Cause, detail: str = "") -> None:
        self.told.append(("lost", cause, detail))

    def fail(self, error: SessionError) -> None:
        self.told.append(("fail", error.condition))
        self._session.send(b"<error/>")
        self._session.close(error.code, error.condition)


def session(data: bytes) -> None:
    """A WebSocket: ``r``eceived bytes, ``s``end, ``c``lose, ``t``ick, ``l``ost, ``y``: ready again."""
    _same_in_pieces(_play_session, data)


def _play_session(data: bytes, split: Split) -> object:
    machine = WebSocketSession(_TIMERS, _MAX_MESSAGE)
    machine.http_request("GET", "/", (1, 1))
    machine._state = (
        WebSocketSession.ws_session
    )  # the state after a valid request; ``request`` has the other requests
    xmpp = _XmppSide(machine)
    machine.attach(xmpp, 0.0)
    now = 0.0
    for record in records(data):
        kind, payload = record[:1], record[1:]
        if machine.finished or not payload:
            break
        if kind == b"r":
            for piece in split(payload):
                machine.receive_data(piece, now)
                while machine.process(2) and not machine.waits:
                    pass
        elif kind == b"t":
            now += sum(payload)
            machine.tick(now, reading=xmpp.ready)
        else:
            _tell_session(machine, xmpp, kind, payload)
    return _session_outcome(machine, xmpp)


def _tell_session(machine: WebSocketSession, xmpp: _XmppSide, kind: bytes, payload: bytes) -> None:
    if kind == b"y":
        xmpp.ready = True
        while machine.process(2) and not machine.waits:
            pass
    elif kind == b"l":
        machine.lost()
    elif kind in (b"s", b"c"):
        with contextlib.suppress(UnicodeDecodeError):
            text = payload.decode()
            if kind == b"s":
                machine.send(payload)
            else:
                machine.close(CloseCode.POLICY_VIOLATION, text)


def _session_outcome(machine: WebSocketSession, xmpp: _XmppSide) -> object:
    sent = b"".join(machine.data_to_send)
    frames = server_frames(sent)
    for opcode, payload in frames:
        if opcode == TEXT:
            payload.decode()
        elif opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big")
            assert 1000 <= code <= 4999
            assert code not in (1004, 1005, 1006, 1015)
            payload[2:].decode()
    ends = [told for told in xmpp.told if isinstance(told, tuple)]
    assert len(ends) <= 1, ends
    assert machine.finished == (machine.state_name == "ws_closed")
    return sent, xmpp.told, machine.state_name, machine.close_code


# -- XMPP over it --------------------------------------------------------------------------------


class _Browser:
    """Reads every message separately; no message may follow a Close."""

    def __init__(self) -> None:
        self.max_message_size = _MAX_MESSAGE
        self.stanza_bounds: tuple[int, int, int] | None = None
        self.got: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        #: The tag that opened the stream, in legacy framing.
        self._header = b""

    def send(self, text: bytes) -> None:
        assert self.closed is None, f"after Close: {text!r}"
        self.got.append(text)
        if self._header:
            self._read_legacy(text)
        elif self._opens_legacy_stream(text):
            self._header = _left_open(text)
        elif text != b" ":  # the legacy keepalive may come before the header
            assert is_one_element(tree(text)), text
            assert text.startswith(b"<open ") or any(got.startswith(b"<open ") for got in self.got), self.got

    def send_frames(self, data: bytes) -> None:
        for opcode, payload in server_frames(data):
            assert opcode == TEXT
            self.send(payload)

    @staticmethod
    def _opens_legacy_stream(text: bytes) -> bool:
        name = re.match(rb"<([^\s/>]+)", text)
        if name is None:
            return False
        with contextlib.suppress(expat.ExpatError):
            seen = tree(b"%s</%s>" % (_left_open(text), name[1]))
            return is_one_element(seen) and seen[0][1] == STREAM
        return False

    def _read_legacy(self, text: bytes) -> None:
        if text in (b" ", b"</stream:stream>"):
            return
        if self._opens_legacy_stream(text):
            self._header = _left_open(text)
            return
        assert is_one_element(tree(text, self._header)), (text, self._header)

    def close(self, code: int, reason: str) -> None:
        assert self.closed is None
        assert len(reason.encode()) <= 123
        assert self.got, "closed without an error"
        self.closed = (code, reason)


def _left_open(tag: bytes) -> bytes:
    """A server may open its stream and end it in one tag."""
    return tag[:-2] + b">" if tag.endswith(b"/>") else tag


class _World:
    """One machine, its browser, its server, and the connection between gateway and server."""

    def __init__(self, split: Split) -> None:
        self.browser = _Browser()
        self.machine = WebSocketXmpp(self.browser, _LIMITS, _serves, 0.0, _see_other_uri)
        self.server = StreamReader()
        self.connected = False
        self.now = 0.0
        self._split = split
        self.sent: list[bytes] = []
        self._events: dict[bytes, Callable[[bytes], None]] = {
            b"b": self._browser_says,
            b"s": self._server_says,
            b"c": self._connect,
            b"u": self._lose_server,
            b"l": lambda _: self.machine.browser_lost(causes.BROWSER_LOST),
            b"f": lambda _: self.machine.fail(_FAULT),
            b"t": self._tick,
        }

    def tell(self, kind: bytes, payload: bytes) -> None:
        event = self._events.get(kind)
        if event is not None:
            event(payload)
            self._settle()

    def _browser_says(self, text: bytes) -> None:
        with contextlib.suppress(UnicodeDecodeError):
            text.decode()
            if self.machine.ready:
                self.machine.process_request(text)

    def _server_says(self, data: bytes) -> None:
        if self.connected:
            for piece in self._split(data):
                if self.machine.upstream_finished:
                    return
                self.machine.upstream_data(piece)
                while self.machine.process_upstream(3):
                    pass

    def _connect(self, _payload: bytes) -> None:
        if self.machine.connect_to is not None:
            normalise_domain(self.machine.connect_to)
            self.machine.connect_to = None
            self.machine.upstream_connected()
            self.connected = True

    def _lose_server(self, _payload: bytes) -> None:
        if self.connected or self.machine.connect_to is not None:
            self.connected = False
            self.machine.upstream_lost(causes.UPSTREAM_LOST)

    def _tick(self, payload: bytes) -> None:
        self.now += sum(payload)
        self.machine.tick(self.now, reading=True)

    def _settle(self) -> None:
        """The actions of the relay after every event."""
        for piece in self.machine.to_upstream:
            self.server.feed(piece)
            self.sent.append(piece)
        self.machine.to_upstream.clear()
        if self.machine.upstream_finished:
            self.connected = False
            assert self.machine.state_name == "closed"
            assert self.machine.ending is not causes.NOT_ENDED
        if self.browser.closed is not None:
            assert self.machine.state_name == "closed"
            assert self.browser.got[-1].startswith((b"<close ", b"</stream:stream>"))


def _serves(to: str) -> str | None:
    try:
        normalised = normalise_domain(to)
    except ValueError:
        return None
    return normalised if normalised.endswith("localhost") else None


def _see_other_uri(host: str) -> str | None:
    return f"wss://{host}/ws" if host else None


def xmpp(data: bytes) -> None:
    """XMPP: bytes of ``b``rowser or ``s``erver; ``c``onnected, ``u``pstream lost, ``l``ost,
    ``f``ault, ``t``ick."""
    # The stream id is the only random value in the machines; without it two runs can be compared.
    with mock.patch.object(framing, "stream_id", return_value="0123456789abcdef"):
        _same_in_pieces(_play_xmpp, data)


def _play_xmpp(data: bytes, split: Split) -> object:
    world = _World(split)
    for record in records(data):
        world.tell(record[:1], record[1:])
    machine = world.machine
    return world.browser.got, world.browser.closed, b"".join(world.sent), machine.state_name, machine.ending
