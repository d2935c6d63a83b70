"""The upgrade request: pywsgi reads it, gevent-websocket writes the 101 of one that ``request`` accepted.

The library does nothing more: its WebSocket is dropped, and its connection handed to the supervisor.
"""

from __future__ import annotations

import contextlib
from http.client import HTTPException
from time import monotonic
from typing import Any

import gevent
from gevent import pywsgi
from geventwebsocket.handler import WebSocketHandler

from wsgw.capacity.admission import Ticket
from wsgw.errors import HandshakeRefused, PlainRequest, refusals
from wsgw.listener.entrance import Entrance
from wsgw.opening.client_address import client_address
from wsgw.opening.head_reader import StrictHeadReader
from wsgw.opening.refusal import refusal_bytes
from wsgw.opening.request import SUBPROTOCOL, SWITCHING, path_is_served
from wsgw.socket_async import SocketAsync
from wsgw.telemetry import session_log
from wsgw.telemetry.peer import Peer
from wsgw.telemetry.session_log import Asked
from wsgw.websocket_session import WebSocketSession

#: How long the rest of a head that is refused is waited for, in seconds: proxies send heads whole.
READ_ON_WAIT = 0.5
#: Our words for what pywsgi refuses by itself.
_REFUSALS = {
    "400": (400, "Bad request", refusals.HANDSHAKE),
    "414": (414, "URI Too Long", refusals.MAX_HEADER_SIZE),
    "431": (431, "Request Header Fields Too Large", refusals.MAX_HEADER_SIZE),
}


class UpgradeHandler(WebSocketHandler):  # type: ignore[misc]
    """Turns the request that pywsgi parsed into the original's events, and sends the machine's answer."""

    def __init__(
        self,
        connection: SocketAsync,
        address: tuple[str, int],
        server: pywsgi.WSGIServer,
        entrance: Entrance,
        ticket: Ticket,
    ) -> None:
        self._reader = StrictHeadReader(connection, entrance.config.max_header_size)
        super().__init__(connection, address, server, rfile=self._reader)
        self._entrance = entrance
        self._connection = connection
        self._ticket = ticket
        #: The client's address, as far as the request has been read.
        self._client = address[0]
        #: Whether the request was refused, and whether its connection was handed over.
        self.answered = self.adopted = False
        self._is_plain = False

    def handle(self) -> None:
        """Read one request and answer it. Whether the connection goes on or ends is the listener's."""
        self.handle_one_request()

    def run_application(self) -> None:
        """Judge the request; on the 101 hand the connection over."""
        entrance, config = self._entrance, self._entrance.config
        session = WebSocketSession(entrance.sessions.timers, config.max_stanza_size_preauth)
        self.wsgi_input = _NoBody()
        self.close_connection = True
        try:
            key, client = self._judge(session)
        except HandshakeRefused as refusal:
            self.status, self.headers_sent = str(refusal.status), True
            self._answer(refusal)
            return
        self._switch_protocols(key)
        self.socket = None  # the connection is the session's now
        peer = Peer(next(entrance.supervisor.connection_ids), self.client_address, client)
        self.adopted = True
        entrance.supervisor.start_child(
            peer, self._connection, session, entrance.upstream, entrance.sessions, self._ticket
        )

    def _judge(self, session: WebSocketSession) -> tuple[str, str]:
        """Return (key, client address) or raise HandshakeRefused."""
        config = self._entrance.config
        self._charge_client()
        major, minor = self._reader.version.removeprefix("HTTP/").split(".")
        session.http_request(self._reader.method, self._reader.target, (int(major), int(minor)))
        for name, value in self._reader.fields:
            session.http_header(name, value)
        try:
            key = session.http_eoh(config.serves, config.websocket_origin)
        except PlainRequest:
            self._is_plain = True
            self._refuse_what_is_in_order()
            raise
        self._refuse_what_is_in_order()
        return key, self._client

    def _refuse_what_is_in_order(self) -> None:
        """Raise HandshakeRefused for a body, and while the gateway stops."""
        if self.content_length or "transfer-encoding" in self.headers:
            # It would be read as frames, while a proxy before us may take frames for a body.
            raise HandshakeRefused(400, "Bad request: unexpected body")
        if self._entrance.supervisor.draining:  # perhaps since this request began to be read
            raise HandshakeRefused(
                503, "Service Unavailable: the gateway stops", [("Retry-After", "1")], cause=refusals.DRAINING
            )

    def _charge_client(self) -> None:
        """Find out who the client is, and charge it: whatever the answer. Raises HandshakeRefused (503)."""
        self._client = client_address(self.client_address[0], self._reader.fields, self._entrance.trusted)
        if self._client != self.client_address[0]:  # who is behind a proxy is known only now
            self._ticket.charge(self._client, monotonic())

    def _switch_protocols(self, key: str) -> None:
        """Let the library make the 101: it knows one spelling of each header only."""
        self.prevent_wsgi_call = True
        self.request_version = "HTTP/1.1"
        self.environ.update(
            REQUEST_METHOD="GET",
            HTTP_UPGRADE="websocket",
            HTTP_CONNECTION="upgrade",
            HTTP_SEC_WEBSOCKET_VERSION="13",
            HTTP_SEC_WEBSOCKET_KEY=key,
        )
        super().run_application()
        # The library's WebSocket would write a Close of its own when it is let go of, and it and this
        # handler hold each other, and the socket, until the garbage collector comes by.
        websocket = self.__dict__.pop("websocket")
        websocket.closed = True
        websocket.handler = websocket.stream = websocket.raw_read = websocket.raw_write = None
        self.environ.clear()

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Give the 101 the original's phrase and the subprotocol."""
        if status.startswith("101"):
            status = SWITCHING
            headers = [*headers, ("Sec-WebSocket-Protocol", SUBPROTOCOL)]
        return super().start_response(status, headers, exc_info)

    def handle_one_request(self) -> None:
        """Read one request; what pywsgi refuses by itself is refused in our words."""
        try:
            result = super().handle_one_request()
        except HandshakeRefused as refusal:  # the reader's, in the request line
            result = refusal
        if isinstance(result, tuple):
            status, phrase, cause = _REFUSALS[result[0]]
            result = HandshakeRefused(status, phrase, cause=cause)
        if isinstance(result, HandshakeRefused):
            self.refuse(result)

    def _handle_client_error(self, ex: Exception) -> HandshakeRefused | tuple[str, bytes] | None:
        """Say what is wrong with a head; pywsgi calls it for whatever is raised while it is read."""
        if isinstance(ex, OSError):
            return None
        if isinstance(ex, HandshakeRefused):
            return ex
        # Too many lines for the parser, or too long a line for it.
        too_large = isinstance(ex, HTTPException) or self.headers.status
        return "431" if too_large else "400", b""

    def refuse(self, refusal: HandshakeRefused) -> None:
        """Refuse a request that has not been judged, as far as it has been read. Raises OSError."""
        if self.answered:
            return
        with contextlib.suppress(HandshakeRefused, OSError), gevent.Timeout(READ_ON_WAIT, False):  # type: ignore[arg-type]
            self._reader.read_on()
        if self._reader.ended:
            try:
                self._charge_client()
            except HandshakeRefused as too_many:
                refusal = too_many
        self._answer(refusal)

    def _answer(self, refusal: HandshakeRefused) -> None:
        """Answer, log and count. Raises OSError."""
        self.answered = True
        config = self._entrance.config
        proxy = self.client_address[0] if self._client != self.client_address[0] else None
        session_log.refused(self._client, proxy, refusal, self._asked(), config, quiet=self._is_plain)
        self._entrance.supervisor.tally.connection_refused(refusal.cause, refusal.status)
        self._connection.sendall(refusal_bytes(refusal, self._reader.method))

    def _asked(self) -> Asked:
        """What the request asked for, as far as it has been read."""
        reader = self._reader
        origins = (value for name, value in reader.fields if name.lower() == "origin")
        served = path_is_served(reader.target, self._entrance.config.serves)
        return Asked(reader.method, reader.target, ", ".join(origins), served)

    def log_request(self) -> None:
        """Connections and refusals are logged where they happen."""


class _NoBody:
    """A refused request's body is not read."""

    def _discard(self) -> None: ...
