"""The PROXY header in both versions: from a proxy in front, and for the XMPP server."""

from __future__ import annotations

import re
import socket
import ssl
from ipaddress import IPv6Address

import pytest

from tests.listener.heads import GOOD, OPEN, SWITCHING, answer, connect, from_, request
from tests.support.edges import StartEdge
from tests.support.gateway import Gateway
from tests.support.wire import Browser, XmppServer, frame

V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

PROXY_IN = "{use_proxy_protocol, true}, {upstream_proxy_protocol, v1}, "


def v2(body: bytes, command: int = 0x21, family: int = 0x11) -> bytes:
    return V2_SIGNATURE + bytes((command, family)) + len(body).to_bytes(2, "big") + body


IPV4_BODY = (
    bytes((192, 0, 2, 7)) + bytes((127, 0, 0, 1)) + (4711).to_bytes(2, "big") + (443).to_bytes(2, "big")
)
IPV6_BODY = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "::1")
    + (4711).to_bytes(2, "big")
    + (443).to_bytes(2, "big")
)
V1 = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n"


@pytest.fixture(scope="module")
def behind_proxy(start_edge: StartEdge) -> Gateway:
    return start_edge(ws_options=PROXY_IN, top_level='{trusted_proxies, ["192.0.2.0/25"]}.\n')


def told_upstream(gateway: Gateway, xmpp_server: XmppServer, header: bytes, *headers: str) -> bytes:
    """The PROXY line that the XMPP server gets from a session that began with ``header``."""
    connection = connect(gateway.ws_port)
    connection.send(header + request(*GOOD, *headers) + frame(OPEN))
    assert connection.read_until(b"\r\n\r\n") == SWITCHING
    server = xmpp_server.accept()
    line = server.read_until(b"\r\n")
    assert server.read_until(b"<stream:stream")
    server.close()
    connection.close()
    return line


#: Python 3.13 spells it differently.
MAPPED = str(IPv6Address("::ffff:127.0.0.1")).encode()


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (V1, b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 "),
        (v2(IPV4_BODY), b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 "),
        (v2(IPV4_BODY + b"\x04\x00\x02xy"), b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 "),
        (v2(IPV6_BODY, family=0x21), b"PROXY TCP6 2001:db8::7 %s 4711 " % MAPPED),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n", b"PROXY TCP6 2001:db8::7 %s 4711 " % MAPPED),
        (v2(b"", command=0x20, family=0), b"PROXY TCP4 127.0.0.1 127.0.0.1 "),
        (b"PROXY UNKNOWN\r\n", b"PROXY TCP4 127.0.0.1 127.0.0.1 "),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", b"PROXY TCP4 127.0.0.1 127.0.0.1 "),
    ],
)
def test_the_proxy_header_names_the_client(
    behind_proxy: Gateway, xmpp_server: XmppServer, header: bytes, told: bytes
) -> None:
    assert told_upstream(behind_proxy, xmpp_server, header).startswith(told)


@pytest.mark.rule("7239")
@pytest.mark.parametrize(
    ("source", "forwarded", "client"),
    [
        ("192.0.2.7", "203.0.113.5", b"203.0.113.5"),
        ("192.0.2.7", "198.51.100.1, 203.0.113.5, 192.0.2.9", b"203.0.113.5"),
        ("192.0.2.200", "203.0.113.5", b"192.0.2.200"),
        ("192.0.2.7", "nonsense", b"192.0.2.7"),
        ("192.0.2.7", "203.0.113.5, nonsense, 192.0.2.9", b"192.0.2.9"),
    ],
)
def test_forwarded_for_counts_behind_a_proxy_header(
    behind_proxy: Gateway, xmpp_server: XmppServer, source: str, forwarded: str, client: bytes
) -> None:
    line = f"PROXY TCP4 {source} 127.0.0.1 4711 443\r\n".encode()
    told = told_upstream(behind_proxy, xmpp_server, line, *from_(forwarded))
    assert told.split(b" ")[2] == client


@pytest.mark.rule("proxy-read")
@pytest.mark.parametrize("header", [V1, v2(IPV4_BODY)], ids=["v1", "v2"])
def test_a_proxy_header_is_read_at_every_split_point(behind_proxy: Gateway, header: bytes) -> None:
    data = header + request(*GOOD)
    connections = []
    for cut in range(1, len(header) + 2):
        connection = connect(behind_proxy.ws_port)
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.send(data[:cut])
        connections.append((cut, connection))
    for cut, connection in connections:
        connection.send(data[cut:])
        assert connection.read_until(b"\r\n\r\n") == SWITCHING, cut
        connection.close()


@pytest.mark.rule("proxy-read")
@pytest.mark.parametrize("header", [V1, v2(IPV4_BODY)], ids=["v1", "v2"])
def test_tls_begins_after_the_proxy_header(
    behind_proxy: Gateway, context: ssl.SSLContext, header: bytes
) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    connection = connect(behind_proxy.wss_port)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    connection.send(header + outgoing.read())  # in one segment, as haproxy does
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            incoming.write(connection.socket.recv(65536))
    tls.write(request(*GOOD))
    connection.send(outgoing.read())
    plain = b""
    while b"\r\n\r\n" not in plain:
        try:
            plain += tls.read(65536)
        except ssl.SSLWantReadError:
            data = connection.socket.recv(65536)
            assert data, plain
            incoming.write(data)
    assert plain == SWITCHING
    connection.close()


@pytest.mark.rule("proxy-read")
@pytest.mark.parametrize(
    "garbage",
    [
        request(*GOOD),
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 192.0.2.7 127.0.0.1 70000 443\r\n",
        b"PROXY TCP4 2001:db8::7 ::1 4711 443\r\n",
        b"PROXY TCP4 " + b"1" * 200,
        v2(IPV4_BODY, command=0x31),
        v2(IPV4_BODY, command=0x2F),
        v2(IPV4_BODY[:5]),
        V2_SIGNATURE + b"\x21\x11\xff\xff",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_a_connection_without_the_proxy_header_is_closed(behind_proxy: Gateway, garbage: bytes) -> None:
    """At once: ``answer`` waits only half of ``handshake_timeout``."""
    assert answer(behind_proxy.ws_port, garbage) == b""


@pytest.mark.slow
def test_a_slow_proxy_header_is_ended(start_edge: StartEdge) -> None:
    hasty = start_edge(ws_options=PROXY_IN + "{handshake_timeout, 1}, ")
    assert answer(hasty.ws_port, V1[:20]) == b""


@pytest.mark.rule("proxy-write")
def test_the_server_gets_a_proxy_header_of_version_2(start_edge: StartEdge, xmpp_server: XmppServer) -> None:
    gateway = start_edge(ws_options="{upstream_proxy_protocol, v2}, ")
    browser = Browser(gateway.ws_port, headers=from_("192.0.2.7"), first=frame(OPEN))
    server = xmpp_server.accept()
    head = server.read(16 + 12 + 12 + 35)
    assert head[:16] == V2_SIGNATURE + b"\x21\x11\x00" + bytes([12 + 12 + 35])
    assert head[16:20] == bytes((192, 0, 2, 7))
    assert head[28:43] == b"\x02\x00\x09localhost\x05\x00\x20"
    assert re.fullmatch(rb"[0-9a-f]{32}", head[43:]), "a proxy has given no request ID"
    assert server.read(5) == b"<?xml"
    server.close()
    browser.close()
    headers = (*from_("2001:db8::7"), "X-Request-ID: a1")
    browser = Browser(gateway.ws_port, headers=headers, first=frame(OPEN))
    server = xmpp_server.accept()
    head = server.read(16 + 36 + 12 + 5)
    assert head[:16] == V2_SIGNATURE + b"\x21\x21\x00" + bytes([36 + 12 + 5])
    assert head[16:32] == socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    assert head[32:48] == socket.inet_pton(socket.AF_INET6, "::ffff:127.0.0.1")
    assert head[52:] == b"\x02\x00\x09localhost\x05\x00\x02a1"
    server.close()
    browser.close()


@pytest.mark.rule("proxy-tlv")
def test_version_2_has_the_tls_that_wsgw_ends(
    start_edge: StartEdge, xmpp_server: XmppServer, context: ssl.SSLContext
) -> None:
    """It does not have the balancer's, which is that of another connection."""
    options = "{use_proxy_protocol, true}, {upstream_proxy_protocol, v2}, "
    gateway = start_edge(ws_options=options)
    tlvs = b"\x02\0\x04chat\x05\0\x02b7" + b"\x20\0\x0f\1\0\0\0\0\x21\0\x07TLSv1.1"
    for port, tls in ((gateway.ws_port, b"TLSv1.1"), (gateway.wss_port, b"TLSv1.3")):
        sock = socket.create_connection(("localhost", port), 5)
        sock.sendall(v2(IPV4_BODY + tlvs))
        secure = context.wrap_socket(sock, server_hostname="localhost") if port == gateway.wss_port else sock
        secure.sendall(request(*GOOD) + frame(OPEN))
        server = xmpp_server.accept()
        head = server.read(16)
        body = server.read(int.from_bytes(head[14:], "big"))
        assert body[:4] == IPV4_BODY[:4]
        assert body[12:26] == b"\x02\0\x04chat\x05\0\x02b7\x20\0"
        assert body[27:42] == b"\1\0\0\0\1\x21\0\x07" + tls
        assert (b"TLS_" in body) == (tls == b"TLSv1.3"), "the cipher suite"
        server.close()
        secure.close()
