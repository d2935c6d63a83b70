"""Serves one connection from its accept to the 101: admission, PROXY header, TLS, request.

The connection's greenlet ends with ``serve_connection``: then the socket belongs to a session, or is closed.
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
from wsgw.listener.context import ListenerContext
from wsgw.listener.first_bytes import NoBytes, NoTls, read_proxy_header, start_tls, wait_for_bytes
from wsgw.listener.upgrade import UpgradeHandler
from wsgw.opening.proxy_protocol import Client, ProxyProtocolError
from wsgw.opening.response import refusal_bytes
from wsgw.socket_async import LINGER_TIMEOUT, SocketAsync
from wsgw.telemetry import session_log

log = logging.getLogger("wsgw.listener")

#: Seconds that ``linger`` takes for a connection that is refused before its first byte.
TURN_AWAY_WAIT = 0.1
#: OpenSSL's reasons for which a handshake fails under ``tls_verify``.
_UNVERIFIED = frozenset({"CERTIFICATE_VERIFY_FAILED", "PEER_DID_NOT_RETURN_A_CERTIFICATE"})


class Deadline(gevent.Timeout):
    """Raised when a step before the request takes longer than ``seconds``; ``cause`` is for the counter."""

    def __init__(self, cause: Refusal, seconds: float) -> None:
        super().__init__(seconds)
        self.cause = cause


def serve_connection(
    sock: socket.socket, peer_address: tuple[str, int], context: ListenerContext, server: pywsgi.WSGIServer
) -> None:
    """Serve an accepted connection up to the 101; then it belongs to a session, or is closed.

    ``peer_address`` is (address, port), empty for a Unix socket. pywsgi's handler needs ``server``.
    """
    connection = SocketAsync(sock)
    try:
        ticket = context.supervisor.admission.admit(context.sessions.connection_limits)
    except HandshakeRefused as refusal:
        _turn_away(connection, context, refusal)
        return
    adopted, client = False, Client(peer_address)
    try:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context.config.use_proxy_protocol:
            with Deadline(refusals.HANDSHAKE_TIMEOUT, context.config.handshake_timeout):
                client = read_proxy_header(connection) or client
        adopted = _upgrade(connection, client, ticket, context, server)
    except HandshakeRefused as refusal:
        _turn_away(connection, context, refusal)
    except (OSError, ProxyProtocolError, gevent.Timeout) as error:
        _log_no_request(client.endpoint[0], context, error)
    except Exception:
        log.exception("%s ! fault in the gateway", client.endpoint[0])
    finally:
        if not adopted:
            connection.linger(LINGER_TIMEOUT, LINGER_TIMEOUT)
            ticket.release()


def _upgrade(
    connection: SocketAsync,
    client: Client,
    ticket: Ticket,
    context: ListenerContext,
    server: pywsgi.WSGIServer,
) -> bool:
    """Do TLS and the request; return whether the connection now belongs to a session.

    Raises OSError, HandshakeRefused and gevent.Timeout.
    """
    address = client.endpoint[0]
    if not context.trusted.is_proxy(address):
        ticket.charge(address, monotonic())
    if context.tls is not None:
        with Deadline(refusals.TLS_HANDSHAKE_TIMEOUT, context.config.tls_handshake_timeout):
            start_tls(connection, context.tls)
    handler = UpgradeHandler(connection, client, server, context, ticket)
    with gevent.Timeout(context.config.handshake_timeout, False):  # type: ignore[arg-type]
        wait_for_bytes(connection)
        handler.handle()
        if not handler.adopted and not handler.answered:
            raise ConnectionResetError("connection closed inside the request head")
        return handler.adopted
    handler.refuse(HandshakeRefused(408, "Request Timeout", cause=refusals.HANDSHAKE_TIMEOUT))
    return False


def _log_no_request(client: str, context: ListenerContext, error: BaseException) -> None:
    """Log and count a connection that got no response; one without a byte is probably a health check."""
    known = {"event": "no upgrade", "client": client, "cause": _describe(error)}
    fields = {"path": session_log.shown_path(error.path) or None} if isinstance(error, NoTls) else {}
    level = logging.DEBUG if isinstance(error, NoBytes) else logging.INFO
    log.log(level, "%(client)s ! no upgrade: %(cause)s", known, extra={"fields": fields})
    context.supervisor.tally.connection_refused(_cause_of(error), 0)


def _cause_of(error: BaseException) -> Refusal:
    if isinstance(error, Deadline):
        return error.cause
    is_unverified = isinstance(error, ssl.SSLError) and error.reason in _UNVERIFIED
    return refusals.TLS_VERIFY if is_unverified else refusals.NO_REQUEST


def _turn_away(connection: SocketAsync, context: ListenerContext, refusal: HandshakeRefused) -> None:
    """Refuse a connection before TLS, without reading a byte: one write, one short wait, no log line."""
    context.supervisor.tally.connection_refused(refusal.cause, refusal.status)
    if context.tls is None:
        connection.send(refusal_bytes(refusal))
    connection.linger(TURN_AWAY_WAIT, TURN_AWAY_WAIT)


def _describe(error: BaseException) -> str:
    if isinstance(error, gevent.Timeout):
        return f"nothing within {error.seconds:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: the client's certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    return str(error) or type(error).__name__
