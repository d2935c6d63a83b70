"""Handles the upgrade request: pywsgi reads it, ``request`` checks it, gevent-websocket writes the 101.

After the 101, the WebSocket object of gevent-websocket is dropped, and the supervisor gets the connection.
"""

from __future__ import annotations

import contextlib
import os
from http.client import HTTPException
from time import monotonic
from typing import Any

import gevent
from gevent import pywsgi
from geventwebsocket.handler import WebSocketHandler

from wsgw.capacity.admission import Ticket
from wsgw.errors import HandshakeRefused, PlainRequest, refusals
from wsgw.listener.context import ListenerContext
from wsgw.opening.client_address import PEER, client_address
from wsgw.opening.head_reader import StrictHeadReader
from wsgw.opening.pages import page_answer
from wsgw.opening.proxy_protocol import Client
from wsgw.opening.request import SUBPROTOCOL, SWITCHING, host_name, path_is_served
from wsgw.opening.request_ids import request_ids
from wsgw.opening.response import refusal_bytes
from wsgw.socket_async import SocketAsync
from wsgw.telemetry import session_log
from wsgw.telemetry.peer import Peer
from wsgw.telemetry.session_log import RefusedRequest
from wsgw.websocket_session import WebSocketSession

#: Seconds to wait for the rest of a refused head: proxies send a head in one piece.
READ_ON_WAIT = 0.5
#: (status, phrase, cause) of the requests that pywsgi refuses by itself.
_REFUSALS = {
    "400": (400, "Bad request", refusals.HANDSHAKE),
    "414": (414, "URI Too Long", refusals.MAX_HEADER_SIZE),
    "431": (431, "Request Header Fields Too Large", refusals.MAX_HEADER_SIZE),
}


class UpgradeHandler(WebSocketHandler):  # type: ignore[misc]
    """Passes the request from pywsgi to the WebSocket's machine, and sends the machine's answer."""

    def __init__(
        self,
        connection: SocketAsync,
        client: Client,
        server: pywsgi.WSGIServer,
        context: ListenerContext,
        ticket: Ticket,
    ) -> None:
        self._reader = StrictHeadReader(connection, context.config.max_header_size)
        super().__init__(connection, client.endpoint, server, rfile=self._reader)
        self._context = context
        self._connection = connection
        self._ticket = ticket
        #: The client's address, as far as the request has been read.
        self._client = client.endpoint[0]
        self._source = PEER
        #: The peer of the socket, or the client of the PROXY header.
        self._proxied = client
        #: Whether the request was refused, and whether a session has taken over the connection.
        self.answered = self.adopted = False
        #: Whether the request asks for no WebSocket, so that its answer is logged at debug only.
        self._is_quiet = False

    def handle(self) -> None:
        """Read one request and answer it; the caller closes the connection, or a session takes it over."""
        self.handle_one_request()

    def run_application(self) -> None:
        """Check the request; after the 101, start a session with the connection."""
        context, config = self._context, self._context.config
        session = WebSocketSession(context.sessions.timers, config.max_stanza_size_preauth)
        self.wsgi_input = _NoBody()
        self.close_connection = True
        try:
            key = self._judge(session)
        except HandshakeRefused as refusal:
            self.status, self.headers_sent = str(refusal.status), True
            self._answer(refusal)
            return
        self._switch_protocols(key)
        self.socket = None  # the connection belongs to the session
        self.adopted = True
        context.supervisor.tally.client_addresses[self._source] += 1
        context.supervisor.start_child(
            self._peer(), self._connection, session, context.upstream, context.sessions, self._ticket
        )

    def _peer(self) -> Peer:
        """Describe the client, for the log and for the XMPP server.

        The authority in wsgw's PROXY header is the name in ``Host``, with and without TLS. The
        specification of the protocol names SNI for TLS; a browser writes the same name into both.
        """
        request_id, traceparent = self._request_ids()
        authority, config = self._proxied.authority, self._context.config
        if config.upstream_proxy_protocol == "v2":
            authority = authority or host_name(self._reader.fields)
            request_id = request_id or os.urandom(16).hex()
        return Peer(
            next(self._context.supervisor.connection_ids),
            self.client_address,
            self._client,
            request_id,
            traceparent,
            authority or None,
            self._connection.tls_parameters or self._proxied.tls,
            self._connection.verified_name if config.tls_verify else self._proxied.common_name,
        )

    def _judge(self, session: WebSocketSession) -> str:
        """Return the client's key or raise HandshakeRefused."""
        config = self._context.config
        self._charge_client()
        if self._context.pages:
            self._answer_pages()
        major, minor = self._reader.version.removeprefix("HTTP/").split(".")
        session.http_request(self._reader.method, self._reader.target, (int(major), int(minor)))
        for name, value in self._reader.fields:
            session.http_header(name, value)
        try:
            key = session.http_eoh(config.serves, config.websocket_origin)
        except PlainRequest:
            self._is_quiet = True
            self._check_body_and_drain()
            raise
        self._check_body_and_drain()
        return key

    def _answer_pages(self) -> None:
        """Raise the answer to a request for a page, also while the gateway stops: it opens no session."""
        reader = self._reader
        answer = page_answer(self._context.pages, reader.method, reader.target, reader.fields)
        if answer is not None:
            self._is_quiet = True
            self._check_body()
            raise answer

    def _check_body(self) -> None:
        """Raise HandshakeRefused for a request with a body."""
        if self.content_length or "transfer-encoding" in self.headers:
            # wsgw would read the body as frames, or a proxy in front of it the frames as a body.
            raise HandshakeRefused(400, "Bad request: unexpected body")

    def _check_body_and_drain(self) -> None:
        """Raise HandshakeRefused for a valid request with a body, or while the gateway stops."""
        self._check_body()
        if self._context.supervisor.draining:  # the drain may have begun while the request was read
            raise HandshakeRefused(
                503, "Service Unavailable: the gateway stops", [("Retry-After", "1")], cause=refusals.DRAINING
            )

    def _charge_client(self) -> None:
        """Find the client's address, and count this connection for it. Raises HandshakeRefused (503)."""
        found = client_address(self.client_address[0], self._reader.fields, self._context.trusted)
        self._client, self._source = found
        if self._client != self.client_address[0]:  # only the headers tell the address behind a proxy
            self._ticket.charge(self._client, monotonic())

    def _switch_protocols(self, key: str) -> None:
        """Let gevent-websocket write the 101. It understands only one spelling of each header."""
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
        # When it is freed, gevent-websocket's WebSocket would write a Close frame; and it refers to this
        # handler, which refers to it, so that both would keep the socket until the next garbage collection.
        websocket = self.__dict__.pop("websocket")
        websocket.closed = True
        websocket.handler = websocket.stream = websocket.raw_read = websocket.raw_write = None
        self.environ.clear()

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Add the subprotocol (RFC 6455 section 4.2.2) and the phrase of the original module to the 101."""
        if status.startswith("101"):
            status = SWITCHING
            headers = [*headers, ("Sec-WebSocket-Protocol", SUBPROTOCOL)]
        return super().start_response(status, headers, exc_info)

    def handle_one_request(self) -> None:
        """Read one request; if pywsgi refuses it by itself, send wsgw's response instead."""
        try:
            result = super().handle_one_request()
        except HandshakeRefused as refusal:  # raised by the reader in the request line
            result = refusal
        if isinstance(result, tuple):
            status, phrase, cause = _REFUSALS[result[0]]
            result = HandshakeRefused(status, phrase, cause=cause)
        if isinstance(result, HandshakeRefused):
            self.refuse(result)

    def _handle_client_error(self, ex: Exception) -> HandshakeRefused | tuple[str, bytes] | None:
        """Return the refusal for an exception that pywsgi caught while it read a head; None for no response.

        The refusal is an error of ``opening``, or (status, body) as pywsgi writes it.
        """
        if isinstance(ex, OSError):
            return None
        if isinstance(ex, HandshakeRefused):
            return ex
        # The head has too many lines, or a too long one, for pywsgi's parser.
        too_large = isinstance(ex, HTTPException) or self.headers.status
        return "431" if too_large else "400", b""

    def refuse(self, refusal: HandshakeRefused) -> None:
        """Refuse a request before it was read completely or checked. Raises OSError."""
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
        """Send, log and count the refusal. Raises OSError."""
        self.answered = True
        config = self._context.config
        proxy = self.client_address[0] if self._client != self.client_address[0] else None
        session_log.refused(
            self._client, proxy, refusal, self._refused_request(), config, quiet=self._is_quiet
        )
        self._context.supervisor.tally.connection_refused(refusal.cause, refusal.status)
        self._connection.sendall(refusal_bytes(refusal, self._reader.method))

    def _refused_request(self) -> RefusedRequest:
        """Return the parts of the request that the log shows, as far as it was read."""
        reader = self._reader
        origins = (value for name, value in reader.fields if name.lower() == "origin")
        served = path_is_served(reader.target, self._context.config.serves)
        return RefusedRequest(reader.method, reader.target, ", ".join(origins), served, *self._request_ids())

    def _request_ids(self) -> tuple[str | None, str | None]:
        request_id, traceparent = request_ids(
            self.client_address[0], self._reader.fields, self._context.trusted
        )
        return request_id or self._proxied.unique_id or None, traceparent

    def log_request(self) -> None:
        """Log nothing for pywsgi: ``session_log`` logs sessions and refusals."""


class _NoBody:
    """The body of a request: wsgw never reads one."""

    def _discard(self) -> None: ...
