"""Both ends of the gateway: a browser that sends any bytes, and a scripted XMPP server.

Plain blocking sockets with a deadline on every read; nothing of wsgw is imported.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

SECONDS = 5.0

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

STREAMS = "http://etherx.jabber.org/streams"
CLOSE_7395 = b'<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" />'
END = b"</stream:stream>"
SERVER_HEADER = (
    b"<?xml version='1.0'?><stream:stream id='s1' version='1.0' xml:lang='en' from='localhost'"
    b" xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>"
)
SUCCESS = b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
OPENINGS = {
    "rfc7395": b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>",
    "legacy": b"<stream:stream to='localhost' xmlns='jabber:client' xmlns:stream='"
    + STREAMS.encode()
    + b"' version='1.0' />",
}
CLOSINGS = {"rfc7395": CLOSE_7395, "legacy": END}


def with_limits(features: bytes, max_bytes: int = 10_000, idle_seconds: int = 300) -> bytes:
    """The server's ``features`` without limits, as a client gets them: by default those before login."""
    numbers = b"<max-bytes>%d</max-bytes><idle-seconds>%d</idle-seconds>" % (max_bytes, idle_seconds)
    added = b"<limits xmlns='urn:xmpp:stream-limits:0'>%s</limits>" % numbers
    if features.endswith(b"/>"):
        name = features[1:-2].split()[0]
        return b"%s>%s</%s>" % (features[:-2], added, name)
    start, tag, end = features.rpartition(b"</")
    return start + added + tag + end


def frame(
    payload: bytes, opcode: int = TEXT, *, fin: bool = True, masked: bool = True, rsv: int = 0
) -> bytes:
    """One client frame."""
    size = len(payload)
    mask_bit = 0x80 if masked else 0
    if size < 126:
        length = bytes((mask_bit | size,))
    elif size < 65536:
        length = bytes((mask_bit | 126,)) + struct.pack(">H", size)
    else:
        length = bytes((mask_bit | 127,)) + struct.pack(">Q", size)
    head = bytes((0x80 * fin | rsv | opcode,)) + length
    if not masked:
        return head + payload
    mask = os.urandom(4)
    pattern = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ pattern).to_bytes(size, "big")


def upgrade_request(path: str = "/ws-xmpp", headers: tuple[str, ...] = ()) -> bytes:
    """A good upgrade request with further header lines."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: keep-alive, Upgrade",
        "Sec-WebSocket-Protocol: xmpp",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class Connection:
    """A socket whose reads have a deadline."""

    #: The connections that are not closed.
    opened: ClassVar[set[Connection]] = set()

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(SECONDS)
        self.socket = sock
        self.buffer = b""
        self.opened.add(self)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _more(self) -> bool:
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes."""
        while len(self.buffer) < size:
            if not self._more():
                raise EOFError(f"ended after {self.buffer!r}")
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def read_until(self, end: bytes) -> bytes:
        """Up to and including ``end``."""
        while end not in self.buffer:
            if not self._more():
                raise EOFError(f"ended after {self.buffer!r}, waiting for {end!r}")
        return self.read(self.buffer.index(end) + len(end))

    def read_to_end(self, seconds: float = SECONDS) -> bytes:
        """All bytes up to the peer's FIN; TimeoutError if that takes longer."""
        self.socket.settimeout(seconds)
        while self._more():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def silent(self, seconds: float) -> bool:
        """Whether neither a byte nor an end arrives within ``seconds``."""
        if self.buffer:
            return False
        self.socket.settimeout(seconds)
        try:
            return not self._more() and False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(SECONDS)

    def fin(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanish with an RST."""
        if isinstance(self.socket, ssl.SSLSocket):
            self.socket = socket.socket(fileno=self.socket.detach())
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.opened.discard(self)
        self.socket.close()


class Browser(Connection):
    """A WebSocket client."""

    def __init__(
        self,
        port: int,
        *,
        context: ssl.SSLContext | None = None,
        headers: tuple[str, ...] = (),
        path: str = "/ws-xmpp",
        first: bytes = b"",
        receive_buffer: int | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        """``first`` follows the request in the same segment; ``receive_buffer`` in bytes."""
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(SECONDS)
        sock.connect((host, port))
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname="localhost")
        super().__init__(sock)
        self.send(upgrade_request(path, headers) + first)
        self.head = self.read_until(b"\r\n\r\n").decode("latin-1")

    def text(self, payload: bytes) -> None:
        self.send(frame(payload))

    def frame(self) -> tuple[int, bytes]:
        """The next frame as (opcode, payload); it must be whole and unmasked."""
        first, second = self.read(2)
        assert first & 0xF0 == 0x80, f"fragmented or reserved bits: {first:#x}"
        assert not second & 0x80, "a server never masks"
        size = second
        if size == 126:
            (size,) = struct.unpack(">H", self.read(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self.read(8))
        return first & 0x0F, self.read(size)

    def message(self) -> bytes:
        """The next text message; pings are answered on the way."""
        while True:
            opcode, payload = self.frame()
            if opcode == PING:
                self.send(frame(payload, PONG))
                continue
            assert opcode == TEXT, (opcode, payload)
            return payload

    def until_close(self) -> tuple[list[bytes], int, str]:
        """(text messages, code, reason) up to and including the Close frame; it and pings are answered."""
        messages = []
        while True:
            opcode, payload = self.frame()
            if opcode == TEXT:
                messages.append(payload)
            elif opcode == PING:
                self.send(frame(payload, PONG))
            elif opcode == CLOSE:
                with contextlib.suppress(OSError):
                    self.send(frame(payload, CLOSE))
                return messages, int.from_bytes(payload[:2], "big"), payload[2:].decode()

    def close_frame(self, code: int = 1000, reason: bytes = b"") -> None:
        self.send(frame(code.to_bytes(2, "big") + reason, CLOSE))


class XmppServer:
    """Listens on a loopback port; the test plays each accepted connection."""

    def __init__(self, port: int = 0, receive_buffer: int | None = None) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(64)
        self._listener.settimeout(SECONDS)
        self.port: int = self._listener.getsockname()[1]

    def accept(self) -> Connection:
        sock, _ = self._listener.accept()
        return Connection(sock)

    def accept_stream(self, first: bytes = SUCCESS) -> Connection:
        """Accept, read the client's header, answer with a header and ``first``."""
        connection = self.accept()
        connection.read_until(b"version='1.0'>")
        connection.send(SERVER_HEADER + first)
        return connection

    def close(self) -> None:
        self._listener.close()


class UnixXmppServer(XmppServer):
    """The same on a Unix socket, which every network namespace can reach."""

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._listener.settimeout(SECONDS)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Assert that the block takes at most ``seconds``."""
    started = time.monotonic()
    yield
    took = time.monotonic() - started
    assert took < seconds, f"took {took:.2f} s instead of less than {seconds:g} s"


def _connected_sockets() -> Iterator[tuple[int, int, str, int]]:
    """(local port, remote port, state, unread bytes) of every connected IPv4 socket of the machine."""
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        _, local, remote, state, queues = line.split()[:5]
        ports = [int(address.rpartition(":")[2], 16) for address in (local, remote)]
        if ports[1]:
            yield ports[0], ports[1], state, int(queues.partition(":")[2], 16)


def tcp_state(local_port: int, remote_port: int) -> str:
    """The kernel's state of the socket between these ports; ``CLOSED`` if there is none.

    Both ports, since one local port may serve connections to several remote ones.
    """
    for *ports, state, _ in _connected_sockets():
        if ports == [local_port, remote_port]:
            return "ESTABLISHED" if state == "01" else f"state {state}"
    return "CLOSED"


def stays_unread(reader_port: int, sender_port: int) -> bool:
    """Whether bytes sent between these ports stay unread for a quarter of a second."""
    deadline = time.monotonic() + 0.25
    while time.monotonic() < deadline:
        connections = _connected_sockets()
        if not any(ports == [reader_port, sender_port] and unread for *ports, _, unread in connections):
            return False
        time.sleep(0.02)
    return True
