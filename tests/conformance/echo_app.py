"""An echo server on wsgw's codec, session machine and socket wrapper, without XMPP. Prints its port.

Text and binary messages come back; the text ``CLOSE_COMMAND`` makes it start the closing handshake.
"""

from __future__ import annotations

import math
import socket
import sys
from collections.abc import Callable
from time import monotonic

import gevent
from gevent.event import Event

from wsgw.errors import SessionError
from wsgw.errors.causes import Cause
from wsgw.opening.head_reader import HeadReader
from wsgw.socket_async import SocketAsync
from wsgw.websocket_frame import FrameParser, Opcode, make_binary
from wsgw.websocket_session import Timers, WebSocketSession

CLOSE_COMMAND = b"please close"
#: No deadline runs: it could hide the absence of an immediate reaction.
_TIMERS = Timers(math.inf, math.inf, math.inf, math.inf)
_BUDGET = 256
_QUEUE_HIGH = 64 * 1024
_LINGER = 1.0
_MAX_HEAD = 64 * 1024
_HEAD = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Protocol: xmpp\r\n\r\n"
)


class EchoParser(FrameParser):
    """Accepts binary messages too, and does not pass them to the session, which knows only text."""

    def __init__(self, limit: int, take_binary: Callable[[bytes], None]) -> None:
        super().__init__(limit, accept_binary=True)
        self._take_binary = take_binary

    def parse_stream(self) -> tuple[int, bytes] | None:
        while (message := super().parse_stream()) is not None and message[0] == Opcode.BINARY:
            self._take_binary(message[1])
        return message


class EchoSession(WebSocketSession):
    """The session machine with that parser."""

    def __init__(self, limit: int) -> None:
        super().__init__(_TIMERS, limit)
        self._parser = EchoParser(limit, self._echo_binary)

    def _echo_binary(self, payload: bytes) -> None:
        if self.state_name == "ws_session":
            self.data_to_send.append(make_binary(payload))


class Echo:
    """One connection: the bytes between socket and session, and the session's calls of an application."""

    ready = True

    def __init__(self, sock: socket.socket, limit: int) -> None:
        self._connection = SocketAsync(sock)
        self._session = EchoSession(limit)
        self._over = Event()

    def run(self) -> None:
        try:
            self._upgrade()
            self._connection.attach(self._received, self._drained)
            self._session.attach(self, monotonic())
            self._connection.active_once()
            self._over.wait()
        finally:
            self._connection.linger(_LINGER, _LINGER)

    def _upgrade(self) -> None:
        reader = HeadReader(self._connection, _MAX_HEAD)
        method, target, _ = reader.readline().decode("latin-1").split()
        self._session.http_request(method, target, (1, 1))
        while line := reader.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            self._session.http_header(name, value.strip())
        self._session.http_eoh(lambda _segments: True, ())
        self._connection.sendall(_HEAD.encode())

    # -- calls of the socket -------------------------------------------------------------------

    def _received(self, data: bytes) -> None:
        if data:
            self._session.receive_data(data, monotonic())
            self._process()
        else:
            self._session.lost()
            self._over.set()

    def _process(self) -> None:
        more = self._session.process(_BUDGET)
        frames = self._session.data_to_send
        if frames:
            self._connection.send(b"".join(frames))
            frames.clear()
        if self._session.finished:
            self._over.set()
        elif more:
            gevent.get_hub().loop.run_callback(self._process)
        elif self._connection.outbox.queued <= _QUEUE_HIGH:
            self._connection.active_once()

    def _drained(self) -> None:
        if not self._connection.armed and not self._session.finished:
            self._process()

    # -- calls of the session ------------------------------------------------------------------

    def process_request(self, text: bytes) -> None:
        if text == CLOSE_COMMAND:
            self._session.close(1000, "asked for")
        else:
            self._session.send(text)

    def process_stanzas(self, elements: bytes, stanzas: int) -> None:
        raise AssertionError("stanza_bounds were not set")

    def browser_lost(self, cause: Cause, detail: str = "") -> None:
        """No other part needs this."""

    def fail(self, error: SessionError) -> None:
        self._session.close(error.code, error.condition)


def serve(limit: int) -> None:
    """Listen on a free port of the loopback address, for ever."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    listener.setblocking(False)
    print(listener.getsockname()[1], flush=True)
    hub = gevent.get_hub()
    readable = hub.loop.io(listener.fileno(), 1)
    while True:
        hub.wait(readable)
        try:
            sock, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        gevent.spawn(Echo(sock, limit).run)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
