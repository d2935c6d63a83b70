"""The steps before the request: PROXY header, TLS handshake. What follows them stays in the socket."""

from __future__ import annotations

import ssl

from wsgw.opening.head_grammar import TLS_RECORD, no_tls
from wsgw.opening.proxy_protocol import parse as parse_proxy_header
from wsgw.socket_async import SocketAsync


class NothingSaid(ConnectionResetError):
    """The client connected, and left without a byte."""


class NoTls(ConnectionError):
    """What came to a port with ``tls`` is no TLS; ``path`` is that of a request without it, or empty."""

    def __init__(self, beginning: bytes) -> None:
        cause, self.path = no_tls(beginning)
        super().__init__(cause)


def read_proxy_header(connection: SocketAsync) -> tuple[str, int] | None:
    """The client that the proxy names, None if it names none. Raises OSError and ProxyProtocolError."""
    wait_for_bytes(connection)
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


def start_tls(connection: SocketAsync, context: ssl.SSLContext) -> None:
    """Do the TLS handshake. Raises OSError."""
    beginning = wait_for_bytes(connection)
    try:
        connection.start_tls(context, server_side=True)
    except ssl.SSLError as error:
        if beginning.startswith(TLS_RECORD):
            raise
        raise NoTls(beginning) from error


def wait_for_bytes(connection: SocketAsync) -> bytes:
    """Return the first bytes of a step, and leave them in the socket. Raises OSError."""
    try:
        first = connection.recv()
    except ConnectionResetError as error:
        raise NothingSaid(str(error)) from error
    if not first:
        raise NothingSaid("connection closed before a byte came")
    connection.unread(first)
    return first
