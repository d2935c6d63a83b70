"""Targets for the bytes before XMPP: frames, the PROXY header, the WebSocket upgrade."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from tests.fuzz.oracles import chunkings, client_frame
from tests.support.wire import BINARY, TEXT
from wsgw.errors import HandshakeRefused, WebSocketViolation
from wsgw.opening import proxy_protocol
from wsgw.opening.client_address import TrustedProxies, client_address
from wsgw.opening.head_reader import StrictHeadReader
from wsgw.opening.proxy_protocol import ProxyProtocolError
from wsgw.opening.request import UpgradeRequest, judge, path_segments
from wsgw.websocket_frame import FRAGMENT, FrameParser, Opcode, parse_close
from wsgw.xmpp import domain

MAX_MESSAGE = 300
#: As the docstring of ``header_v2`` says.
LONGEST_PROXY_HEADER = 795
#: The headers that a refusal may have.
_STATUSES = {200, 400, 403, 404, 426}
_TRUSTED = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


def _messages(pieces: Iterable[bytes], accept_binary: bool) -> list[object]:
    """Every message of a client, Close frames read, and the violation that ended it."""
    parser = FrameParser(MAX_MESSAGE, accept_binary=accept_binary)
    found: list[object] = []
    try:
        for piece in pieces:
            parser.feed(piece)
            while (message := parser.parse_stream()) is not None:
                opcode, payload = message
                if message is not FRAGMENT:
                    found.append(parse_close(payload) if opcode == Opcode.CLOSE else message)
                assert len(payload) <= MAX_MESSAGE
                if opcode == Opcode.TEXT:
                    payload.decode()
    except WebSocketViolation as violation:
        found.append((violation.code, violation.reason))
    return found


def frames(data: bytes) -> None:
    """Frames of a client: whole or in pieces they are the same messages and the same violation."""
    for accept_binary in (False, True):
        whole = _messages([data], accept_binary)
        for pieces in chunkings(data):
            assert _messages(pieces, accept_binary) == whole
    short, mask = data[:MAX_MESSAGE], data[-4:].rjust(4)
    half = len(short) // 2
    fragments = client_frame(short[:half], BINARY, fin=False, mask=mask) + client_frame(short[half:], 0)
    assert _messages([fragments], True) == [(BINARY, short)]
    with contextlib.suppress(UnicodeDecodeError):
        short.decode()
        assert _messages([client_frame(short, mask=mask)], False) == [(TEXT, short)]


def handshake(data: bytes) -> None:
    """A request line and header lines, as a HTTP parser gives them."""
    first, *lines = data.decode("latin-1").split("\n")
    method, _, target = first.partition(" ")
    headers = [(name.lower(), value) for name, _, value in (line.partition(":") for line in lines)]
    refusal = HandshakeRefused(400, "none")
    try:
        key = judge(UpgradeRequest(method, target, (1, 1), headers), _is_served, ["https://good"])
        assert key.isascii()
    except HandshakeRefused as refused:
        refusal = refused
    assert refusal.status in _STATUSES
    asks = any(name.startswith("sec-websocket-") for name, _ in headers)
    assert not (asks and refusal.status == 200), "a refused WebSocket upgrade has its reason"
    assert refusal.phrase.isascii()
    assert refusal.phrase.isprintable()
    with contextlib.suppress(HandshakeRefused):
        assert not {"", ".", ".."} & set(path_segments(target)) or "%" in target
    _judge_addresses(headers)
    with contextlib.suppress(ValueError):
        once = domain.normalise_domain(target)
        assert domain.normalise_domain(once) == once


#: Heads that all parsers read alike, without wsgw's code: RFC 9112 sections 2 to 5.
_HEAD = re.compile(
    rb"(?:\r\n)?(?P<line>[^\0-\x20\x7f]+ [^\0-\x20\x7f]+ HTTP/[01]\.[0-9]|GET [^\0-\x20\x7f]+)\r\n"
    rb"(?P<fields>(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*)\r\n"
)
#: Bytes that are refused before they are a head.
_OTHERS = (b"\x16\x03", b"<", b"PROXY ", b"PRI * HTTP/2.0\r\n")
_LENGTH = re.compile(rb"^content-length:(.*)\r$", re.IGNORECASE | re.MULTILINE)
_CODING = re.compile(rb"^transfer-encoding:", re.IGNORECASE | re.MULTILINE)


class _Pieces:
    """A source that returns its pieces one by one."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece]

    def recv(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def unread(self, data: bytes) -> None:
        self.pieces.insert(0, data)


def read_head(pieces: Iterable[bytes]) -> object:
    """(method, target, version, fields, rest) of a valid head; otherwise its status or a word."""
    source = _Pieces(pieces)
    reader = StrictHeadReader(source, 500)
    try:
        while not reader.ended:
            if not reader.readline():
                return "nothing"
    except HandshakeRefused as refused:
        return refused.status
    except ConnectionResetError:
        return "broken off"
    return reader.method, reader.target, reader.version, reader.fields, b"".join(source.pieces)


def head(data: bytes) -> None:
    """A request head: an accepted one has only one reading, and an unambiguous one is accepted."""
    found = read_head([data])
    for pieces in chunkings(data):
        assert read_head(pieces) == found
    if found in (414, 431, "broken off"):
        return
    sound = _HEAD.match(data)
    if sound is not None:
        lengths = _LENGTH.findall(sound["fields"])
        coded = _CODING.search(sound["fields"]) is not None
        words = sound["line"].split(b" ")  # HTTP/0.9 has two, and the second may look like a version
        old = len(words) < 3 or words[2] < b"HTTP/1.1"
        forked = (
            len(lengths) > 1
            or not all(length.strip(b" \t").isdigit() for length in lengths)
            or (coded and (bool(lengths) or old))
        )
        foreign = data.removeprefix(b"\r\n").startswith(_OTHERS) or data.startswith(_OTHERS)
        old_method = sound["line"].endswith(b" HTTP/0.9") and not sound["line"].startswith(b"GET ")
        sound = None if forked or foreign or old_method else sound
    assert isinstance(found, tuple) == (sound is not None), (found, sound)
    if isinstance(found, tuple) and sound is not None:
        assert found[4] == data[sound.end() :]
        fields = sound["fields"].split(b"\r\n")[:-1]
        assert [name for name, _ in found[3]] == [line.split(b":")[0].decode() for line in fields]


def _is_served(segments: object) -> bool:
    return segments == ("ws-xmpp",)


def _judge_addresses(headers: list[tuple[str, str]]) -> None:
    for peer in ("127.0.0.1", "10.1.2.3", "192.0.2.7", "fd00::1", ""):
        address = client_address(peer, headers, _TRUSTED).address
        assert address == peer or str(ip_address(address)) == address
        if peer == "192.0.2.7":
            assert address == peer, "an untrusted hop was trusted"


def proxy(data: bytes) -> None:
    """A PROXY header: no beginning of it has another result than the whole."""
    whole = _proxy_header(data)
    for size in range(min(len(data), 160)):
        begun = _proxy_header(data[:size])
        assert begun is None or begun == whole or (isinstance(begun, str) and isinstance(whole, str))
    if isinstance(whole, tuple) and whole[0] is not None:
        client = whole[0]
        for text in (client.authority, client.unique_id, *(client.tls or ()), client.common_name or ""):
            assert text.replace("\ufffd", "").isprintable() or text == client.common_name
            assert "\ufffd" in text or text.encode() in data
        assert client.tls is not None or client.common_name is None
        header = proxy_protocol.header_v2(client, client.endpoint)
        assert proxy_protocol.parse(header) == (client, len(header))
        assert len(header) <= LONGEST_PROXY_HEADER
        bare = proxy_protocol.Client(client.endpoint)
        header = proxy_protocol.header_v1(client.endpoint, client.endpoint)
        assert proxy_protocol.parse(header) == (bare, len(header))


def _proxy_header(data: bytes) -> object:
    try:
        found = proxy_protocol.parse(data)
    except ProxyProtocolError as error:
        return str(error)
    assert found is None or 0 < found[1] <= len(data)
    return found
