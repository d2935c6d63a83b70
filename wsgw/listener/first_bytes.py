"""The steps before the request: PROXY header, TLS handshake. The bytes after them stay in the socket."""

from __future__ import annotations

import ssl

from wsgw.opening.head_grammar import TLS_RECORD, no_tls
from wsgw.opening.proxy_protocol import Client
from wsgw.opening.proxy_protocol import parse as parse_proxy_header
from wsgw.socket_async import SocketAsync


class NoBytes(ConnectionResetError):
    """The client closed the connection without sending a byte."""


class NoTls(ConnectionError):
    """A port with ``tls`` received bytes that are not TLS; ``path`` is that of a plain request, or empty."""

    def __init__(self, beginning: bytes) -> None:
        cause, self.path = no_tls(beginning)
        super().__init__(cause)


def read_proxy_header(connection: SocketAsync) -> Client | None:
    """Return the client that the proxy names, None if it names none.

    Raises OSError and ProxyProtocolError.
    """
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
    """Do the TLS handshake. Raises OSError, and NoTls if the first bytes are not TLS."""
    beginning = wait_for_bytes(connection)
    try:
        connection.start_tls(context, server_side=True)
    except ssl.SSLError as error:
        if beginning.startswith(TLS_RECORD):
            raise
        raise NoTls(beginning) from error


def wait_for_bytes(connection: SocketAsync) -> bytes:
    """Wait for the next bytes and return them, but leave them in the socket. Raises OSError."""
    try:
        first = connection.recv()
    except ConnectionResetError as error:
        raise NoBytes(str(error)) from error
    if not first:
        raise NoBytes("connection closed before the first byte")
    connection.unread(first)
    return first
