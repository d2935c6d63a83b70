"""The edge: accept, PROXY header, TLS, HTTP upgrade; then the session is the supervisor's.

Straight-line blocking code in a greenlet per connection, with a deadline on each step. pywsgi
reads the request; gevent-websocket's handler makes the 101 of a request that was already accepted
by ``request``, and does nothing more.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from http.client import HTTPException
from time import monotonic
from typing import Any

import gevent
from gevent import pywsgi
from geventwebsocket.handler import WebSocketHandler

from wsgw.capacity.accept_share import PAUSE_ENDS, RECHECK
from wsgw.capacity.admission import Ticket
from wsgw.config.model import ListenerConfig
from wsgw.errors import HandshakeRefused, PlainRequest
from wsgw.mod_websocket import Supervisor, caps, timers
from wsgw.net.tls import PemFiles, browser_context
from wsgw.opening.client_address import TrustedProxies, client_address
from wsgw.opening.head_grammar import TLS_RECORD, no_tls
from wsgw.opening.head_reader import StrictHeadReader
from wsgw.opening.proxy_protocol import ProxyProtocolError
from wsgw.opening.proxy_protocol import parse as parse_proxy_header
from wsgw.opening.request import SUBPROTOCOL, SWITCHING
from wsgw.socket_async import LAST_WORDS, SocketAsync
from wsgw.telemetry import session_log
from wsgw.telemetry.peer import Peer
from wsgw.upstream import Upstream
from wsgw.websocket_session import WebSocketSession

log = logging.getLogger("wsgw.listener")

#: How long a connection that is turned away is accompanied, in seconds.
TURN_AWAY_WAIT = 0.1

#: How long the rest of a head that is refused is waited for, in seconds: proxies send heads whole.
READ_ON_WAIT = 0.5

#: Connections accepted in one turn of the loop at most: what newcomers ask for in the turns that follow is
#: what everybody else's stanzas wait for. While a thousand logged in at once (two busy cores), that was 50
#: to 100 ms; with 64 at a time it was a second.
MAX_ACCEPT = 4

#: Our words for what pywsgi refuses by itself.
_REFUSALS = {
    "400": (400, "Bad request", "handshake"),
    "414": (414, "URI Too Long", "max_header_size"),
    "431": (431, "Request Header Fields Too Large", "max_header_size"),
}


class Listener(pywsgi.WSGIServer):
    """One ``websocket_session`` listener on a listening socket, which other processes may accept from too."""

    #: Connections accepted at a time, gevent's name; ``_do_read`` looks before each whether it is ours.
    max_accept = 1

    def __init__(
        self,
        sock: socket.socket,
        config: ListenerConfig,
        supervisor: Supervisor,
        trusted: TrustedProxies,
        files: PemFiles,
    ) -> None:
        """``sock`` does not block. Raises ConfigError if a certificate cannot be used."""
        self._tls = browser_context(config.certfile, files) if config.tls and config.certfile else None
        self.upstream = Upstream(config, files, supervisor.tally)
        super().__init__(  # type: ignore[call-overload]
            sock,
            _no_application,
            spawn=gevent.spawn_raw,
            log=None,
            environ={"SERVER_NAME": config.ip},  # or it would be asked of the DNS, at every start
        )
        self.config = config
        self.supervisor = supervisor
        self._caps = caps(config)
        self.trusted = trusted
        self._turn = supervisor.turn
        self._has_accepted = False
        #: Since when what is there has been left to other workers, and when that was last so (monotonic).
        self._paused_at = self._still_paused_at = 0.0
        self.logger = logging.getLogger("geventwebsocket")
        self.logger.setLevel(logging.WARNING)

    def _do_read(self) -> None:
        """Accept what is there, as long as it is this worker's turn."""
        for _ in range(MAX_ACCEPT):
            now = monotonic()
            if self._leaves_it(now):
                self._look_again()
                return
            self._has_accepted = False
            super()._do_read()  # type: ignore[misc]
            if not self._has_accepted or self._watcher is None:  # type: ignore[attr-defined]
                return

    def do_read(self) -> tuple[socket.socket, Any] | None:  # type: ignore[override]
        """Accept one connection as a plain socket; gevent's own wrapper is not needed."""
        try:
            accepted: tuple[socket.socket, Any] = self.socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return None
        self._has_accepted = True
        self._turn.pending += 1
        return accepted

    def _leaves_it(self, now: float) -> bool:
        """Whether others are to have what is there, and have not had their time for it yet."""
        pause = self._turn.pause(now)
        if now - self._still_paused_at > PAUSE_ENDS:  # something else has been there since
            self._paused_at = now
        self._still_paused_at = now if now - self._paused_at < pause else 0.0
        return self._still_paused_at > 0.0

    def _look_again(self) -> None:
        """See in a moment whether it is still there."""
        self.stop_accepting()
        self._timer = self.loop.timer(RECHECK)
        self._timer.start(self._start_accepting_if_started)  # type: ignore[attr-defined,call-arg]

    def release(self) -> None:
        """Accept no more, and leave the socket open: another listener has it."""
        self.stop_accepting()
        self._stop_event.set()  # type: ignore[attr-defined]

    def do_close(self, *_args: Any) -> None:
        """``handle`` closes, or hands over, what was accepted."""

    def handle(self, sock: socket.socket, address: Any) -> None:
        """Live the first part of a connection's life, up to the 101."""
        self._turn.pending -= 1
        connection = SocketAsync(sock)
        peer_address = (address[0], address[1]) if isinstance(address, tuple) else ("", 0)
        try:
            ticket = self.supervisor.admission.admit(self._caps)
        except HandshakeRefused as refusal:
            self._turn_away(connection, refusal)
            return
        adopted, address = False, peer_address
        try:
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.config.use_proxy_protocol:
                with _Deadline("handshake_timeout", self.config):
                    address = _read_proxy_header(connection) or peer_address
            adopted = self._upgrade(connection, address, ticket)
        except HandshakeRefused as refusal:
            self._turn_away(connection, refusal)
        except (OSError, ProxyProtocolError, gevent.Timeout) as error:
            self._note_no_request(address[0], error)
        except Exception:
            log.exception("%s ! fault in the gateway", address[0])
        finally:
            if not adopted:
                connection.linger(LAST_WORDS, LAST_WORDS)
                ticket.release()

    def _upgrade(self, connection: SocketAsync, address: tuple[str, int], ticket: Ticket) -> bool:
        config = self.config
        if not self.trusted.is_proxy(address[0]):
            ticket.charge(address[0], monotonic())
        if self._tls is not None:
            with _Deadline("tls_handshake_timeout", config):
                _start_tls(connection, self._tls)
        handler = UpgradeHandler(connection, address, self, ticket)
        with gevent.Timeout(config.handshake_timeout, False):  # type: ignore[arg-type]
            _peek(connection)
            handler.handle()
            if not handler.adopted and not handler.answered:
                raise ConnectionResetError("connection closed inside the request head")
            return handler.adopted
        handler.refuse(HandshakeRefused(408, "Request Timeout", cause="handshake_timeout"))
        return False

    def _note_no_request(self, client: str, error: BaseException) -> None:
        """Log and count a connection that was not answered; one that says nothing is a health check's."""
        known = {"event": "no upgrade", "client": client, "cause": _describe(error)}
        fields = {"path": session_log.shown_path(error.path) or None} if isinstance(error, _NoTls) else {}
        level = logging.DEBUG if isinstance(error, _NothingSaid) else logging.INFO
        log.log(level, "%(client)s ! no upgrade: %(cause)s", known, extra={"fields": fields})
        reason = error.option if isinstance(error, _Deadline) else "no_request"
        self.supervisor.tally.connection_refused(reason, 0)

    def _turn_away(self, connection: SocketAsync, refusal: HandshakeRefused) -> None:
        """Refuse before TLS and before a byte is read: one write, one short wait, no log line."""
        self.supervisor.tally.connection_refused(refusal.cause, refusal.status)
        if self._tls is None:
            connection.send(_response(refusal))
        connection.linger(TURN_AWAY_WAIT, TURN_AWAY_WAIT)


class _NothingSaid(ConnectionResetError):
    """The client connected, and left without a byte."""


class _NoTls(ConnectionError):
    """What came to a port with tls is none."""

    def __init__(self, beginning: bytes) -> None:
        cause, self.path = no_tls(beginning)
        super().__init__(cause)


class _Deadline(gevent.Timeout):
    """Raised when the time is over that an option gives for a step before the request."""

    def __init__(self, option: str, config: ListenerConfig) -> None:
        super().__init__(getattr(config, option))
        self.option = option


def _no_application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """pywsgi wants one; ``UpgradeHandler`` answers every request before it."""
    raise AssertionError("a request was not answered by the handler")


def _read_proxy_header(connection: SocketAsync) -> tuple[str, int] | None:
    """Return the client that the proxy names; what follows its header stays in the socket."""
    _peek(connection)
    data = b""
    while True:
        chunk = connection.recv()
        if not chunk:
            raise ConnectionResetError("connection closed before the PROXY header")
        data += chunk
        found = parse_proxy_header(data)
        if found is not None:
            connection.unread(data[found[1] :])
            return found[0]


def _peek(connection: SocketAsync) -> bytes:
    """Wait for the first bytes of a step, and leave them where they are. Raises OSError."""
    try:
        first = connection.recv()
    except ConnectionResetError as error:
        raise _NothingSaid(str(error)) from error
    if not first:
        raise _NothingSaid("connection closed before a byte came")
    connection.unread(first)
    return first


def _start_tls(connection: SocketAsync, context: ssl.SSLContext) -> None:
    """Do the TLS handshake. Raises OSError."""
    beginning = _peek(connection)
    try:
        connection.start_tls(context, server_side=True)
    except ssl.SSLError as error:
        if beginning.startswith(TLS_RECORD):
            raise
        raise _NoTls(beginning) from error


def _describe(error: BaseException) -> str:
    if isinstance(error, gevent.Timeout):
        return f"nothing within {error.seconds:g} s"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    return str(error) or type(error).__name__


def _response(refusal: HandshakeRefused, method: str = "GET") -> bytes:
    lines = [f"HTTP/1.1 {refusal.status} {refusal.phrase}"]
    lines += [f"{name}: {value}" for name, value in refusal.headers]
    # RFC 9110 section 7.8: who sends Upgrade says so in Connection.
    upgrade = any(name == "Upgrade" for name, _ in refusal.headers)
    if refusal.body:
        lines += ["Content-Type: text/plain; charset=utf-8", "X-Content-Type-Options: nosniff"]
    body = refusal.body.encode()
    lines += [f"Content-Length: {len(body)}", "Connection: close" + ", Upgrade" * upgrade, "", ""]
    return "\r\n".join(lines).encode("latin-1") + (b"" if method == "HEAD" else body)


class UpgradeHandler(WebSocketHandler):  # type: ignore[misc]
    """Turns the request that pywsgi parsed into the original's events, and sends the machine's answer."""

    def __init__(
        self, connection: SocketAsync, address: tuple[str, int], server: Listener, ticket: Ticket
    ) -> None:
        self._reader = StrictHeadReader(connection, server.config.max_header_size)
        super().__init__(connection, address, server, rfile=self._reader)
        self._connection = connection
        self._ticket = ticket
        #: Who asks, as far as the request has been read.
        self._client = address[0]
        #: Whether the request was refused, and whether its connection was handed over.
        self.answered = self.adopted = False
        self._is_plain = False

    def handle(self) -> None:
        """Read one request and answer it. Whether the connection goes on or ends is the listener's."""
        self.handle_one_request()

    def run_application(self) -> None:
        """Judge the request; on the 101 hand the connection over."""
        listener: Listener = self.server
        session = WebSocketSession(timers(listener.config), listener.config.max_stanza_size_preauth)
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
        peer = Peer(next(listener.supervisor.connection_ids), self.client_address, client)
        self.adopted = True
        listener.supervisor.start_child(
            peer, self._connection, session, listener.upstream, listener.config, self._ticket
        )

    def _judge(self, session: WebSocketSession) -> tuple[str, str]:
        """Return (key, client address) or raise HandshakeRefused."""
        listener: Listener = self.server
        self._charge_client()
        major, minor = self._reader.version.removeprefix("HTTP/").split(".")
        session.http_request(self._reader.method, self._reader.target, (int(major), int(minor)))
        for name, value in self._reader.fields:
            session.http_header(name, value)
        try:
            key = session.http_eoh(listener.config.serves, listener.config.websocket_origin)
        except PlainRequest:
            self._is_plain = True
            self._refuse_what_is_in_order()
            raise
        self._refuse_what_is_in_order()
        return key, self._client

    def _refuse_what_is_in_order(self) -> None:
        """Raise HandshakeRefused for a body, and while the gateway stops."""
        listener: Listener = self.server
        if self.content_length or "transfer-encoding" in self.headers:
            # It would be read as frames, while a proxy before us may take frames for a body.
            raise HandshakeRefused(400, "Bad request: unexpected body")
        if listener.supervisor.draining:  # perhaps since this request began to be read
            raise HandshakeRefused(
                503, "Service Unavailable: the gateway stops", [("Retry-After", "1")], cause="draining"
            )

    def _charge_client(self) -> None:
        """Find out who the client is, and charge it: whatever the answer. Raises HandshakeRefused (503)."""
        listener: Listener = self.server
        headers = [(name.lower(), value) for name, value in self._reader.fields]
        self._client = client_address(self.client_address[0], headers, listener.trusted)
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
        listener: Listener = self.server
        proxy = self.client_address[0] if self._client != self.client_address[0] else None
        session_log.refused(self._client, proxy, refusal, self._reader, listener.config, quiet=self._is_plain)
        listener.supervisor.tally.connection_refused(refusal.cause, refusal.status)
        self._connection.sendall(_response(refusal, self._reader.method))

    def log_request(self) -> None:
        """Connections and refusals are logged where they happen."""


class _NoBody:
    """A refused request's body is not read."""

    def _discard(self) -> None: ...
