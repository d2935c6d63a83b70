"""One connection from its accept to the 101: admission, PROXY header, TLS, request.

The greenlet of the connection ends with ``receive``: the socket is a session's then, or is closed.
"""

from __future__ import annotations

import logging
import socket
import ssl
from time import monotonic

import gevent
from gevent import pywsgi

from wsgw.capacity.admission import Ticket
from wsgw.errors import HandshakeRefused, refusals
from wsgw.errors.refusals import Refusal
from wsgw.listener.entrance import Entrance
from wsgw.listener.first_bytes import NothingSaid, NoTls, read_proxy_header, start_tls, wait_for_bytes
from wsgw.listener.upgrade import UpgradeHandler
from wsgw.opening.proxy_protocol import ProxyProtocolError
from wsgw.opening.refusal import refusal_bytes
from wsgw.socket_async import LAST_WORDS, SocketAsync
from wsgw.telemetry import session_log

log = logging.getLogger("wsgw.listener")

#: How long a connection that is turned away is accompanied, in seconds.
TURN_AWAY_WAIT = 0.1


class Deadline(gevent.Timeout):
    """Raised when the time for a step before the request is over."""

    def __init__(self, cause: Refusal, seconds: float) -> None:
        super().__init__(seconds)
        self.cause = cause


def receive(
    sock: socket.socket, peer_address: tuple[str, int], entrance: Entrance, server: pywsgi.WSGIServer
) -> None:
    """Live the first part of a connection's life, up to the 101. ``server`` is pywsgi's, for its handler."""
    connection = SocketAsync(sock)
    try:
        ticket = entrance.supervisor.admission.admit(entrance.sessions.caps)
    except HandshakeRefused as refusal:
        _turn_away(connection, entrance, refusal)
        return
    adopted, address = False, peer_address
    try:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if entrance.config.use_proxy_protocol:
            with Deadline(refusals.HANDSHAKE_TIMEOUT, entrance.config.handshake_timeout):
                address = read_proxy_header(connection) or peer_address
        adopted = _upgrade(connection, address, ticket, entrance, server)
    except HandshakeRefused as refusal:
        _turn_away(connection, entrance, refusal)
    except (OSError, ProxyProtocolError, gevent.Timeout) as error:
        _note_no_request(address[0], entrance, error)
    except Exception:
        log.exception("%s ! fault in the gateway", address[0])
    finally:
        if not adopted:
            connection.linger(LAST_WORDS, LAST_WORDS)
            ticket.release()


def _upgrade(
    connection: SocketAsync,
    address: tuple[str, int],
    ticket: Ticket,
    entrance: Entrance,
    server: pywsgi.WSGIServer,
) -> bool:
    """TLS and the request; whether the connection is a session's now. Raises what ``receive`` catches."""
    if not entrance.trusted.is_proxy(address[0]):
        ticket.charge(address[0], monotonic())
    if entrance.tls is not None:
        with Deadline(refusals.TLS_HANDSHAKE_TIMEOUT, entrance.config.tls_handshake_timeout):
            start_tls(connection, entrance.tls)
    handler = UpgradeHandler(connection, address, server, entrance, ticket)
    with gevent.Timeout(entrance.config.handshake_timeout, False):  # type: ignore[arg-type]
        wait_for_bytes(connection)
        handler.handle()
        if not handler.adopted and not handler.answered:
            raise ConnectionResetError("connection closed inside the request head")
        return handler.adopted
    handler.refuse(HandshakeRefused(408, "Request Timeout", cause=refusals.HANDSHAKE_TIMEOUT))
    return False


def _note_no_request(client: str, entrance: Entrance, error: BaseException) -> None:
    """Log and count a connection that was not answered; one that says nothing is a health check's."""
    known = {"event": "no upgrade", "client": client, "cause": _describe(error)}
    fields = {"path": session_log.shown_path(error.path) or None} if isinstance(error, NoTls) else {}
    level = logging.DEBUG if isinstance(error, NothingSaid) else logging.INFO
    log.log(level, "%(client)s ! no upgrade: %(cause)s", known, extra={"fields": fields})
    cause = error.cause if isinstance(error, Deadline) else refusals.NO_REQUEST
    entrance.supervisor.tally.connection_refused(cause, 0)


def _turn_away(connection: SocketAsync, entrance: Entrance, refusal: HandshakeRefused) -> None:
    """Refuse before TLS and before a byte is read: one write, one short wait, no log line."""
    entrance.supervisor.tally.connection_refused(refusal.cause, refusal.status)
    if entrance.tls is None:
        connection.send(refusal_bytes(refusal))
    connection.linger(TURN_AWAY_WAIT, TURN_AWAY_WAIT)


def _describe(error: BaseException) -> str:
    if isinstance(error, gevent.Timeout):
        return f"nothing within {error.seconds:g} s"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    return str(error) or type(error).__name__
