"""The PROXY protocol, read and written; the numbers are sections of haproxy's proxy-protocol.txt."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgw.opening.proxy_protocol import Client, Endpoint, ProxyProtocolError, header_v1, header_v2, parse

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
FOUR = bytes((192, 0, 2, 1, 198, 51, 100, 2)) + b"\xdc\x04\x01\xbb"
SIX = bytes.fromhex("20010db800000000000000000000000120010db8000000000000000000000002") + b"\xdc\x04\x01\xbb"
CLIENT = Client(("192.0.2.1", 56324))
SERVER = ("198.51.100.2", 443)
CLIENT_6 = Client(("2001:db8::1", 56324))
SERVER_6 = ("2001:db8::2", 443)
LONGEST = ":".join(["ffff"] * 8)


def v2(command: int, family: int, body: bytes = b"", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return SIGNATURE + bytes((command, family)) + size.to_bytes(2, "big") + body


HEADERS: dict[str, tuple[bytes, Client | None]] = {
    "2.1: TCP4": (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", CLIENT),
    "2.1: TCP6": (b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", CLIENT_6),
    "2.1: the longest TCP6 line": (
        f"PROXY TCP6 {LONGEST} {LONGEST} 65535 65535\r\n".encode(),
        Client((LONGEST, 65535)),
    ),
    "2.1: UNKNOWN": (b"PROXY UNKNOWN\r\n", None),
    "2.1: UNKNOWN and anything after it, 107 bytes": (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", None),
    "2.2: TCP over IPv4": (v2(0x21, 0x11, FOUR), CLIENT),
    "2.2: TCP over IPv6": (v2(0x21, 0x21, SIX), CLIENT_6),
    "2.2: addresses and TLVs": (v2(0x21, 0x11, FOUR + b"\x04\0\x03abc"), CLIENT),
    "2.2: the longest taken": (v2(0x21, 0x21, SIX + bytes(4096 - len(SIX))), CLIENT_6),
    "2.2: LOCAL": (v2(0x20, 0x00), None),
    "2.2: LOCAL, its addresses ignored": (v2(0x20, 0x11, FOUR), None),
    "2.2: an unspecified family": (v2(0x21, 0x00, b"\x03\0\x04abcd"), None),
    "2.2: a Unix socket": (v2(0x21, 0x31, bytes(216)), None),
    "2.2: UDP": (v2(0x21, 0x12, FOUR), None),
}


@pytest.mark.rule("proxy-read")
@pytest.mark.parametrize(("header", "client"), HEADERS.values(), ids=HEADERS)
def test_a_header_is_read_in_any_pieces_with_trailing_data(header: bytes, client: Client | None) -> None:
    assert parse(header) == (client, len(header))
    assert parse(header + b"GET / HTTP/1.1\r\n") == (client, len(header))
    for taken in range(len(header)):
        assert parse(header[:taken]) is None


MALFORMED = {
    "no header": b"GET / HTTP/1.1\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\0",
    "one byte that begins neither": b"x",
    "the keyword in lower case": b"proxy ",
    "almost the signature": SIGNATURE[:11] + b"\0",
    "v1: no family": b"PROXY \r\n",
    "v1: an unknown family": b"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
    "v1: the family is not the address's": b"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
    "v1: one address of each family": b"PROXY TCP4 192.0.2.1 2001:db8::2 1 2\r\n",
    "v1: no address": b"PROXY TCP4 localhost 198.51.100.2 1 2\r\n",
    "v1: a bad destination": b"PROXY TCP4 192.0.2.1 x 1 2\r\n",
    "v1: a zone": b"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n",
    "v1: too few words": b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
    "v1: too many words": b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
    "v1: two spaces": b"PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
    "v1: a port above 65535": b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
    "v1: a bad destination port": b"PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n",
    "v1: a negative port": b"PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n",
    "v1: a signed port": b"PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n",
    "v1: a port with an underscore": b"PROXY TCP4 192.0.2.1 198.51.100.2 1_0 2\r\n",
    "v1: bytes beyond ASCII": b"PROXY TCP4 192.0.2.1 198.51.100.2 \xb2 2\r\n",
    "v1: 107 bytes and no end": b"PROXY UNKNOWN " + b"x" * 93,
    "v1: 108 bytes": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "v2: version 1": v2(0x11, 0x11, FOUR),
    "v2: version 3": v2(0x31, 0x11, FOUR),
    "v2: an unknown command": v2(0x22, 0x11, FOUR),
    "v2: too short for IPv4": v2(0x21, 0x11, FOUR[:-1]),
    "v2: too short for IPv6": v2(0x21, 0x21, FOUR),
    "v2: too long, seen on its length": v2(0x21, 0x11, length=4097),
}


@pytest.mark.rule("proxy-read")
@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_header_is_an_error(data: bytes) -> None:
    with pytest.raises(ProxyProtocolError):
        parse(data)


@pytest.mark.rule("proxy-write")
@pytest.mark.parametrize(
    ("client", "destination", "one", "two"),
    [
        (CLIENT, SERVER, b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", v2(0x21, 0x11, FOUR)),
        (CLIENT_6, SERVER_6, b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", v2(0x21, 0x21, SIX)),
        (Client(("", 0)), SERVER, b"PROXY UNKNOWN\r\n", v2(0x20, 0x00)),
        (CLIENT, ("/run/xmpp.sock", 0), b"PROXY UNKNOWN\r\n", v2(0x20, 0x00)),
    ],
)
def test_a_header_is_written(client: Client, destination: Endpoint, one: bytes, two: bytes) -> None:
    assert header_v1(client.endpoint, destination) == one
    assert header_v2(client, destination) == two


def test_a_zone_is_not_written() -> None:
    """A zone may hold spaces and line breaks, and no other host knows it."""
    scoped = ("fe80::1%x 10.0.0.1\r\n", 1)
    plain = ("fe80::1", 1)
    assert header_v1(scoped, SERVER_6) == header_v1(plain, SERVER_6)
    assert header_v2(CLIENT_6, scoped) == header_v2(CLIENT_6, plain)
    assert header_v2(Client(scoped), SERVER_6) == header_v2(Client(plain), SERVER_6)


def test_two_address_families_are_written_as_ipv6() -> None:
    mapped = Client((str(IPv6Address("::ffff:192.0.2.1")), 56324))  # Python 3.13 spells it differently
    line = header_v1(CLIENT.endpoint, SERVER_6)
    assert parse(line) == (mapped, len(line))
    assert parse(header_v2(CLIENT, SERVER_6)) == (mapped, 52)
    assert parse(header_v2(CLIENT_6, SERVER)) == (CLIENT_6, 52)


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


#: The header of haproxy 2.6 for a connection with TLS, with the addresses of this file, by ``send-proxy-v2
#: proxy-v2-options ssl,ssl-cipher,authority,unique-id``.
HAPROXYS = v2(
    0x21,
    0x11,
    FOUR
    + tlv(0x02, b"localhost")
    + tlv(0x05, b"balancer-203.0.113.9:4711")
    + tlv(0x20, b"\x01\0\0\0\0" + tlv(0x21, b"TLSv1.3") + tlv(0x23, b"TLS_AES_256_GCM_SHA384")),
)
DESCRIBED = CLIENT._replace(
    authority="localhost",
    unique_id="balancer-203.0.113.9:4711",
    tls=("TLSv1.3", "TLS_AES_256_GCM_SHA384"),
)


@pytest.mark.rule("proxy-tlv")
def test_the_tlvs_are_read_and_written() -> None:
    """wsgw writes the bytes of haproxy, and that no client certificate was verified (2.2.5)."""
    assert parse(HAPROXYS) == (DESCRIBED, len(HAPROXYS))
    assert all(parse(HAPROXYS[:size]) is None for size in range(len(HAPROXYS)))
    written = header_v2(DESCRIBED, SERVER)
    assert parse(written + b"GET ") == (DESCRIBED, len(written))
    assert written == HAPROXYS.replace(b"\x01\0\0\0\0\x21", b"\x01\0\0\0\x01\x21")
    assert header_v2(DESCRIBED._replace(endpoint=("", 0)), SERVER) == v2(0x20, 0x00)


@pytest.mark.rule("proxy-tlv")
@pytest.mark.parametrize(
    "data",
    [
        tlv(0x02, b""),
        tlv(0x02, b"a b"),
        tlv(0x02, b"x" * 256),
        tlv(0x02, "m\u00fcnchen".encode()),
        tlv(0x05, b"x" * 129),
        tlv(0x05, b"a\n1"),
        tlv(0x05, b"\xff\0"),
        tlv(0x20, b""),
        tlv(0x20, b"\0\0\0\0\0" + tlv(0x21, b"TLSv1.3")),  # the client does not use TLS
        b"\x02\0\x09localhos",
        b"\x02\0",
        tlv(0x01, b"h2") + tlv(0x03, b"abcd") + tlv(0xEA, b"\x01vpce-1"),
    ],
)
def test_other_tlvs_are_ignored(data: bytes) -> None:
    assert parse(v2(0x21, 0x11, FOUR + data)) == (CLIENT, 28 + len(data))


def test_tls_without_names_is_tls() -> None:
    data = tlv(0x20, b"\x01\0\0\0\0" + tlv(0x21, b"x" * 41) + tlv(0x23, b"a b"))
    found = parse(v2(0x21, 0x11, FOUR + data))
    assert found is not None
    assert found[0] == CLIENT._replace(tls=("", ""))


#: The TLV of haproxy 2.6 for a client whose certificate it has verified, by ``proxy-v2-options
#: ssl,ssl-cipher,cert-cn``; ``tests/real/test_proxy_header.py`` compares it with haproxy itself.
VERIFIED = b"\x07\0\0\0\0" + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"J\xc3\xbcrgen") + tlv(0x23, b"TLS_X")


def test_the_name_in_a_verified_certificate_is_read_and_written() -> None:
    client = CLIENT._replace(tls=("TLSv1.3", "TLS_X"), common_name="J\u00fcrgen")
    header = v2(0x21, 0x11, FOUR + tlv(0x20, VERIFIED))
    assert parse(header) == (client, len(header))
    written = header_v2(client, SERVER)
    assert parse(written) == (client, len(header))
    assert sorted(written) == sorted(header), "the TLVs have another order"


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (b"\x07\0\0\0\0", None, ""),
        (b"\x05\0\0\0\0", b"a", "a"),  # presented when the session began, which was resumed
        (b"\x03\0\0\0\0", b"a", "a"),
        (b"\x01\0\0\0\0", b"a", None),  # haproxy's, for a client without a certificate
        (b"\x07\0\0\0\x0a", b"a", None),  # not verified, here since it has expired
        (b"\x07\x0a\0\0\0", b"a", None),
        (b"\x06\0\0\0\0", b"a", None),
        (b"\x07\0\0\0\0", b"x" * 65, ""),
        (b"\x07\0\0\0\0", b"a\nb", ""),
        (b"\x07\0\0\0\0", "\u00fc".encode() * 64, "\u00fc" * 64),
    ],
)
def test_a_name_counts_only_in_a_verified_certificate(
    head: bytes, name: bytes | None, expected: str | None
) -> None:
    data = head + (tlv(0x22, name) if name is not None else b"")
    found = parse(v2(0x21, 0x11, FOUR + tlv(0x20, data)))
    assert found is not None
    assert found[0] is not None
    assert found[0].common_name == expected
    if found[0].tls is not None:
        again = parse(header_v2(found[0], SERVER))
        assert again is not None
        assert again[0] == found[0]


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb"])
def test_a_name_that_fits_no_header_is_left_out(name: str) -> None:
    client = CLIENT._replace(tls=("TLSv1.3", "TLS_X"), common_name=name)
    found = parse(header_v2(client, SERVER))
    assert found is not None
    assert found[0] == client._replace(common_name="")


def test_the_longest_header_fits_into_one_segment() -> None:
    """Of IPv6, which carries 1280 bytes with 60 of headers (RFC 8200 section 5)."""
    longest = Client((LONGEST, 65535), "x" * 255, "x" * 128, ("x" * 40, "x" * 40), "\U00010000" * 64)
    written = header_v2(longest, SERVER_6)
    assert parse(written) == (longest, len(written))
    assert len(written) <= 795 < 1220


endpoints = st.tuples(st.ip_addresses().map(str), st.integers(0, 65535))


@given(endpoints, endpoints, st.binary(max_size=20))
def test_a_written_header_is_read(source: Endpoint, destination: Endpoint, rest: bytes) -> None:
    for header in (header_v1(source, destination), header_v2(Client(source), destination)):
        found = parse(header + rest)
        assert found is not None
        client, used = found
        assert used == len(header)
        assert client is not None
        assert client.endpoint[1] == source[1]
        if (":" in source[0]) == (":" in destination[0]):
            assert client == Client(source)
    assert re.fullmatch(rb"PROXY TCP[46] [0-9a-f.:]+ [0-9a-f.:]+ \d+ \d+\r\n", header_v1(source, destination))


@given(
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ::1 ", SIGNATURE, SIGNATURE + b"\x21\x11"]),
    st.binary(max_size=60),
)
def test_any_bytes_are_read_or_refused(start: bytes, rest: bytes) -> None:
    data = start + rest
    try:
        found = parse(data)
    except ProxyProtocolError:
        return
    assert found is None or found[1] <= len(data)
