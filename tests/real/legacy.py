"""The framing of the original module, replayed byte for byte.

``LegacyClient`` is a WebSocket client over a bare socket, with its own masking, that sends the bytes of old
Strophe; ``TcpClient`` holds the same dialogue with the XMPP server itself. Both must receive the same bytes
except for ids, the XML declaration, and the features that a gateway edits.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import ssl
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

OPEN_SELF_CLOSED = (
    "<stream:stream to='{domain}' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    " version='1.0' />"
)
OPEN_LEFT_OPEN = OPEN_SELF_CLOSED.removesuffix(" />") + ">"
END = "</stream:stream>"

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Ended(Exception):
    """The peer closed; ``code`` is that of its Close frame, None without one."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(f"closed: {code} {reason}")
        self.code = code
        self.reason = reason


class LegacyClient:
    """A bare WebSocket on ``port``, with ``ca`` over TLS.

    ``before`` is sent before TLS. ``first`` follows the request, with ``headers`` in it, in the same write.
    """

    def __init__(
        self,
        port: int,
        path: str = "/ws-xmpp",
        ca: Path | None = None,
        first: bytes = b"",
        seconds: float = 15,
        before: bytes = b"",
        headers: Sequence[str] = (),
    ) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self._socket.sendall(before)
        if ca is not None:
            context = ssl.create_default_context(cafile=str(ca))
            self._socket = context.wrap_socket(self._socket, server_hostname="localhost")
        key = base64.b64encode(os.urandom(16))
        request = (
            f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: WebSocket\r\n"
            "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp\r\n"
            + "".join(f"{header}\r\n" for header in headers)
        ).encode()
        self._socket.sendall(request + b"Sec-WebSocket-Key: " + key + b"\r\n\r\n" + first)
        self._reader = self._socket.makefile("rb")
        self.status = self._reader.readline().decode().rstrip()
        self.headers = self._read_headers()
        assert self.status.startswith("HTTP/1.1 101 "), self.status
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        assert self.headers["sec-websocket-accept"] == accept
        assert self.headers["sec-websocket-protocol"] == "xmpp"

    def __enter__(self) -> LegacyClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self._socket.close()

    def send(self, text: str) -> None:
        """One text frame."""
        self._socket.sendall(masked(TEXT, text.encode()))

    def receive(self) -> str:
        """The next text frame; pings are answered on the way. Raises Ended."""
        while True:
            opcode, payload = self._read_frame()
            if opcode == PING:
                self._socket.sendall(masked(PONG, payload))
            elif opcode == CLOSE:
                self._socket.sendall(masked(CLOSE, payload[:2]))
                code = struct.unpack("!H", payload[:2])[0] if payload else 1005
                raise Ended(code, payload[2:].decode())
            elif opcode != PONG:
                assert opcode == TEXT, f"opcode {opcode}"
                return payload.decode()

    def receive_until(self, end: str) -> list[str]:
        """Frames up to and including the one that ends with ``end``."""
        frames = [self.receive()]
        while not frames[-1].endswith(end):
            frames.append(self.receive())
        return frames

    def receive_end(self) -> Ended:
        """Assert that only a Close frame follows."""
        try:
            text = self.receive()
        except Ended as end:
            return end
        raise AssertionError(f"a frame after the end: {text}")

    def cut(self) -> None:
        """Vanish by a reset, without a Close frame or an end of stream."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._reader.close()
        self._socket.close()

    def _read_headers(self) -> dict[str, str]:
        headers = {}
        while line := self._reader.readline().decode().rstrip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def _read_frame(self) -> tuple[int, bytes]:
        head = self._reader.read(2)
        if len(head) < 2:
            raise Ended(None)
        assert head[0] & 0xF0 == 0x80, f"FIN and RSV bits: {head[0]:#x}"
        assert not head[1] & 0x80, "a server never masks"
        length = head[1]
        if length == 126:
            length = struct.unpack("!H", self._reader.read(2))[0]
        elif length == 127:
            length = struct.unpack("!Q", self._reader.read(8))[0]
        return head[0] & 0x0F, self._reader.read(length)


def masked(opcode: int, payload: bytes) -> bytes:
    """A whole client frame (RFC 6455 section 5.2)."""
    mask = os.urandom(4)
    size = len(payload)
    if size < 126:
        length = struct.pack("!B", 0x80 | size)
    elif size < 65536:
        length = struct.pack("!BH", 0xFE, size)
    else:
        length = struct.pack("!BQ", 0xFF, size)
    return bytes([0x80 | opcode]) + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


class TcpClient:
    """The same dialogue, with the server itself."""

    def __init__(self, port: int, seconds: float = 15) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)

    def __enter__(self) -> TcpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, text: str) -> None:
        self._socket.sendall(text.encode())

    def receive_until(self, end: str) -> str:
        received = b""
        while not received.endswith(end.encode()):
            chunk = self._socket.recv(65536)
            assert chunk, f"the server closed after {received.decode()!r}"
            received += chunk
        return received.decode()


@dataclass(frozen=True)
class Exchange:
    """A message of the client, and the end of the server's answer, which has so many ``frames``."""

    say: str
    until: str
    frames: int = field(default=1)


def old_strophe(user: str, password: str, domain: str, open_tag: str = OPEN_SELF_CLOSED) -> list[Exchange]:
    """A whole session of old Strophe."""
    header = open_tag.format(domain=domain)
    plain = base64.b64encode(f"{user}@{domain}\0{user}\0{password}".encode()).decode()
    me = f"{user}@{domain}/strophe"
    body = "Gr\u00fc\u00dfe &amp; &lt;tag&gt; 'single' \"double\" ]]&gt; \U0001f600"
    sasl, bind = "urn:ietf:params:xml:ns:xmpp-sasl", "urn:ietf:params:xml:ns:xmpp-bind"
    client = "jabber:client"
    return [
        Exchange(header, "</stream:features>", frames=2),
        Exchange(f"<auth xmlns='{sasl}' mechanism='PLAIN'>{plain}</auth>", f"<success xmlns='{sasl}'/>"),
        Exchange(header, "</stream:features>", frames=2),
        Exchange(
            f"<iq type='set' id='_bind_auth_2' xmlns='{client}'>"
            f"<bind xmlns='{bind}'><resource>strophe</resource></bind></iq>",
            "</iq>",
        ),
        Exchange(
            f"<iq type='set' id='_session_auth_2' xmlns='{client}'>"
            "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
            "/>",
        ),
        Exchange(
            f"<iq type='get' id='1:roster' xmlns='{client}'><query xmlns='jabber:iq:roster'/></iq>", "</iq>"
        ),
        Exchange(
            f'<message to="{me}" id="m1" type="chat" xmlns="{client}"><body>{body}</body>'
            "<active xmlns='http://jabber.org/protocol/chatstates'/></message>",
            "</message>",
        ),
        Exchange(
            f"<iq type='get' id='2:no' to='{domain}' xmlns='{client}'><query xmlns='urn:example:no'/></iq>",
            "</iq>",
        ),
    ]


def comparable(text: str) -> str:
    """``text`` without the parts that may differ: declaration, stream ids, features that wsgw edits."""
    text = re.sub(r"^<\?xml[^>]*\?>\s*", "", text)
    text = re.sub(r"(<stream:stream[^>]*? id=)(['\"])[^'\"]*\2", r"\1\2ID\2", text)
    for name in ("starttls", "compression", "limits"):
        text = re.sub(rf"<{name}\b[^>]*(?:/>|>.*?</{name}>)", "", text)
    return text
