"""A minimal WebSocket client (RFC 6455) for the probe and the doctor: text messages, with and without TLS.

It shares no code with the gateway's codec: a probe with the same codec would not notice its faults. The
client has no extensions; it joins fragments and answers pings.
"""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha1
from io import BufferedReader, RawIOBase
from itertools import cycle
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import gevent
from gevent import socket, ssl

_ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x8, 0x9, 0xA
_MAX_MESSAGE = 1024 * 1024
_MAX_LINE, _MAX_LINES = 8192, 100
_PORTS = {"ws": 80, "wss": 443}


class WebSocketFailed(Exception):
    """The peer does not behave like a WebSocket server; the message says how."""


class WebSocketClosed(WebSocketFailed):
    """The server has sent a Close frame."""


class Response(NamedTuple):
    """The head of the answer to an upgrade request."""

    status_line: str
    #: 0 if the status line is not a line of HTTP.
    status: int
    #: The text after the status; it may be empty.
    phrase: str
    #: (lower-case name, value) in order.
    headers: tuple[tuple[str, str], ...]

    def values(self, name: str) -> list[str]:
        """The values of every header line called ``name`` (lower-case)."""
        return [value for key, value in self.headers if key == name]


class UpgradeFailed(WebSocketFailed):
    """The answer to the upgrade request opens no WebSocket for XMPP."""

    def __init__(self, message: str, response: Response) -> None:
        super().__init__(message)
        self.response = response


class UpgradeRefused(UpgradeFailed):
    """The status of the answer is not 101."""


class WrongAccept(UpgradeFailed):
    """The answer's ``Sec-WebSocket-Accept`` belongs to another request."""


class WrongSubprotocol(UpgradeFailed):
    """The answer does not select the subprotocol ``xmpp``."""


class _Raw(RawIOBase):
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        gevent.sleep(0)
        return int(self._sock.recv_into(buffer))


def reader_of(sock: socket.socket) -> BufferedReader:
    """The file to read ``sock``; timeouts of gevent count also while more bytes arrive than are read."""
    return BufferedReader(_Raw(sock))


def tls_context() -> ssl.SSLContext:
    """A context that checks certificates by the system's authorities, as clients do.

    ``gevent.ssl.create_default_context`` returns a context of the standard library, whose sockets block.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _connect(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port))


def _with_tls(sock: socket.socket, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(sock, server_hostname=name)
    except BaseException:
        sock.close()
        raise


class WebSocketClient:
    """A connection to ``url`` (``ws://`` or ``wss://``) with the subprotocol ``xmpp``.

    Every method raises WebSocketFailed for an error of the peer, and OSError for one of the network.
    """

    def __init__(
        self,
        url: str,
        *,
        connect: Callable[[str, int], socket.socket] = _connect,
        context: ssl.SSLContext | None = None,
        origin: str = "",
    ) -> None:
        """``connect`` opens the connection to a host and port, or to another address in its place.

        ``context``: of TLS, by default that of the system's authorities. ``origin``: the header ``Origin``,
        which browsers send; empty for none.
        """
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or parts.hostname is None:
            raise WebSocketFailed(f"{url} is not a ws:// or wss:// address")
        self._sock = connect(parts.hostname, parts.port or _PORTS[parts.scheme])
        if parts.scheme == "wss":
            self._sock = _with_tls(self._sock, context or tls_context(), parts.hostname)
        self._reader = reader_of(self._sock)
        #: The moments (seconds, monotonic) of the server's pings.
        self.pings: list[float] = []
        try:
            self._shake_hands(parts.netloc.rpartition("@")[2], parts.path or "/", parts.query, origin)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> WebSocketClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, text: str) -> None:
        """Send one text message."""
        self._send_frame(_TEXT, text.encode())

    def receive(self) -> str:
        """The next text message. Raises WebSocketFailed also if the server closes the WebSocket instead."""
        message = b""
        while True:
            final, opcode, payload = self._read_frame()
            if opcode == _PING:
                self.pings.append(monotonic())
                self._send_frame(_PONG, payload)
            elif opcode == _CLOSE:
                raise WebSocketClosed(f"the WebSocket was closed: {_describe_close(payload)}")
            elif opcode in (_TEXT, _CONTINUATION):
                message += payload
                if len(message) > _MAX_MESSAGE:
                    raise WebSocketFailed("a message is too long")
                if final:
                    return message.decode()
            elif opcode != _PONG:
                raise WebSocketFailed(f"a frame has the opcode {opcode:#x}")

    def finish(self) -> None:
        """Send a Close frame, and wait for the server's (RFC 6455 section 7.1.2)."""
        self._send_frame(_CLOSE, (1000).to_bytes(2, "big"))
        while self._read_frame()[1] != _CLOSE:
            pass

    def close(self) -> None:
        """Close the TCP connection."""
        self._reader.close()
        self._sock.close()

    def _shake_hands(self, host: str, path: str, query: str, origin: str) -> None:
        key = b64encode(secrets.token_bytes(16))
        target = f"{path}?{query}" if query else path
        origin_line = f"Origin: {origin}\r\n" if origin else ""
        self._sock.sendall(
            f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"{origin_line}Sec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: xmpp\r\n\r\n".encode()
        )
        #: The answer to the upgrade request.
        self.response = response = self._read_head()
        if response.status != 101:
            raise UpgradeRefused(f"the upgrade was refused: {response.status_line!r}", response)
        accept = b64encode(sha1(key + _ACCEPT_GUID).digest()).decode()
        if response.values("sec-websocket-accept") != [accept]:
            raise WrongAccept("Sec-WebSocket-Accept does not fit the key", response)
        if response.values("sec-websocket-protocol") != ["xmpp"]:
            raise WrongSubprotocol("the subprotocol xmpp was not agreed to", response)

    def _read_head(self) -> Response:
        status_line = self._read_line()
        version, _, rest = status_line.partition(" ")
        code, _, phrase = rest.partition(" ")
        status = int(code) if version.startswith("HTTP/") and re.fullmatch(r"\d{3}", code, re.ASCII) else 0
        headers = []
        while line := self._read_line():
            name, _, value = line.partition(":")
            headers.append((name.strip().lower(), value.strip()))
            if len(headers) > _MAX_LINES:
                raise WebSocketFailed("the answer to the upgrade has too many headers")
        return Response(status_line, status, phrase, tuple(headers))

    def _read_line(self) -> str:
        line = self._reader.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise WebSocketFailed("the connection ended during the upgrade")
        return line.decode("latin-1").rstrip("\r\n")

    def _read_frame(self) -> tuple[bool, int, bytes]:
        first, second = self._read_exactly(2)
        if second & 0x80:
            raise WebSocketFailed("the server masked a frame")
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(self._read_exactly(2 if length == 126 else 8), "big")
        if length > _MAX_MESSAGE:
            raise WebSocketFailed("a frame is too long")
        return bool(first & 0x80), first & 0x0F, self._read_exactly(length)

    def _read_exactly(self, size: int) -> bytes:
        data = self._reader.read(size)
        if len(data) < size:
            raise WebSocketFailed("the connection was lost")
        return data

    def _send_frame(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            header = bytes([0x80 | opcode, 0x80 | size])
        elif size < 65536:
            header = bytes([0x80 | opcode, 0x80 | 126]) + size.to_bytes(2, "big")
        else:
            header = bytes([0x80 | opcode, 0x80 | 127]) + size.to_bytes(8, "big")
        mask = secrets.token_bytes(4)
        masked = bytes(byte ^ key for byte, key in zip(payload, cycle(mask), strict=False))
        self._sock.sendall(header + mask + masked)


def _describe_close(payload: bytes) -> str:
    if len(payload) < 2:
        return "no status code"
    reason = payload[2:].decode(errors="replace")
    return f"{int.from_bytes(payload[:2], 'big')} {reason}".rstrip()
