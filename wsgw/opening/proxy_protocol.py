"""The PROXY protocol, versions 1 and 2: a header before the client's first byte that describes the client.

Both versions give its address. Version 2 may also have TLVs (type, length, value), of which wsgw knows three:
the host name that the client asked for, an ID of the connection, and the client's TLS with the name in its
certificate. A TLV that is not one of these or breaks its grammar is ignored, and so is a truncated one: they
decide nothing.

Listeners with ``use_proxy_protocol`` read it (``parse``); ``upstream_proxy_protocol`` writes it
(``header_v1``, ``header_v2``). Source: haproxy's proxy-protocol.txt.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from wsgw.errors import WsgwError
from wsgw.opening.request_ids import ID

Endpoint = tuple[str, int]

_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V1_LIMIT = 107
_V2_LIMIT = 16 + 4096
_V2_ADDRESS_SIZES = {0x11: 4, 0x21: 16}  # TCP over IPv4, over IPv6
#: Types of TLVs (section 2.2). ``_TLS`` contains the two below it, after the fields of ``_TLS_HEAD``.
_AUTHORITY, _UNIQUE_ID, _TLS = 0x02, 0x05, 0x20
_TLS_VERSION, _COMMON_NAME, _TLS_CIPHER = 0x21, 0x22, 0x23
#: The fields before the TLVs in ``_TLS``: bits about the client, and 0 if its certificate was verified. The
#: bits: the client uses TLS; it has presented a certificate in this connection; in this TLS session.
_USES_TLS, _HAS_CERTIFICATE = 0x01, 0x02 | 0x04
_TLS_HEAD = struct.Struct("!BL")
#: A host name, without port, at most as long as DNS allows.
HOST_NAME = re.compile(r"[0-9A-Za-z._-]{1,255}")
#: The name of a TLS version or of a cipher suite.
_TLS_NAME = re.compile(r"[0-9A-Za-z._-]{1,40}")
#: At most as long as X.520 allows, without control characters.
_ANY_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,64}")


class Client(NamedTuple):
    """The client, as a header describes it; an unknown text is empty. Version 1 has the endpoint only."""

    endpoint: Endpoint
    #: The host name that the client asked for.
    authority: str = ""
    #: Names the connection in the logs of all proxies; of the grammar ``ID``.
    unique_id: str = ""
    #: Version and cipher suite of the client's TLS, None without TLS.
    tls: tuple[str, str] | None = None
    #: The Common Name of the client's certificate, which was verified; may be empty. None without one.
    common_name: str | None = None


class ProxyProtocolError(WsgwError):
    """The connection does not begin with a valid PROXY header."""


def parse(data: bytes) -> tuple[Client | None, int] | None:
    """Read a header at the start of ``data``.

    Returns (the client, length of the header in bytes). The client is None for a connection of the proxy
    itself (``LOCAL``, ``UNKNOWN``). Returns None while the header is incomplete. Raises ProxyProtocolError.
    """
    if data.startswith(b"PROXY "):
        return _parse_v1(data)
    if data.startswith(_V2_SIGNATURE):
        return _parse_v2(data)
    if b"PROXY ".startswith(data[:6]) or _V2_SIGNATURE.startswith(data[:12]):
        return None
    raise ProxyProtocolError("no PROXY header")


def _parse_v1(data: bytes) -> tuple[Client | None, int] | None:
    end = data.find(b"\r\n", 0, _V1_LIMIT)
    if end < 0:
        if len(data) >= _V1_LIMIT:
            raise ProxyProtocolError("PROXY line too long")
        return None
    words = data[:end].decode("ascii", "replace").split(" ")
    if words[1] == "UNKNOWN":
        return None, end + 2
    try:
        _, family, source, destination, source_port, destination_port = words
        client = _endpoint_v1(family, source, source_port)
        _endpoint_v1(family, destination, destination_port)
    except ValueError:
        raise ProxyProtocolError("malformed PROXY line") from None
    return Client(client), end + 2


def _endpoint_v1(family: str, text: str, port: str) -> Endpoint:
    address = ip_address(text)
    if family != f"TCP{address.version}" or "%" in text:
        raise ValueError(text)
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(port)
    return str(address), int(port)


def _parse_v2(data: bytes) -> tuple[Client | None, int] | None:
    if len(data) < 16:
        return None
    if data[12] >> 4 != 2 or data[12] & 0x0F > 1:
        raise ProxyProtocolError("unknown PROXY version or command")
    size = 16 + int.from_bytes(data[14:16], "big")
    if size > _V2_LIMIT:
        raise ProxyProtocolError("PROXY header too long")
    if len(data) < size:
        return None
    width = _V2_ADDRESS_SIZES.get(data[13])
    if data[12] & 0x0F == 0 or width is None:
        return None, size
    if size < 16 + 2 * width + 4:
        raise ProxyProtocolError("PROXY header too short for its addresses")
    address = ip_address(data[16 : 16 + width])
    port = int.from_bytes(data[16 + 2 * width : 18 + 2 * width], "big")
    return _described((str(address), port), data[20 + 2 * width : size]), size


def _described(endpoint: Endpoint, data: bytes) -> Client:
    values = dict(_tlvs(data))
    tls, common_name = _described_tls(values.get(_TLS, b""))
    return Client(
        endpoint,
        _text(values.get(_AUTHORITY), HOST_NAME),
        _text(values.get(_UNIQUE_ID), ID),
        tls,
        common_name,
    )


def _described_tls(data: bytes) -> tuple[tuple[str, str] | None, str | None]:
    """(``tls``, ``common_name``) of a client."""
    if len(data) < _TLS_HEAD.size:
        return None, None
    bits, unverified = _TLS_HEAD.unpack_from(data)
    if not bits & _USES_TLS:
        return None, None
    inside = dict(_tlvs(data[_TLS_HEAD.size :]))
    tls = (_text(inside.get(_TLS_VERSION), _TLS_NAME), _text(inside.get(_TLS_CIPHER), _TLS_NAME))
    if unverified or not bits & _HAS_CERTIFICATE:
        return tls, None
    return tls, _text(inside.get(_COMMON_NAME), _ANY_NAME)


def _tlvs(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, value) of each TLV in ``data`` that is complete."""
    while len(data) >= 3:
        end = 3 + int.from_bytes(data[1:3], "big")
        if end > len(data):
            return
        yield data[0], data[3:end]
        data = data[end:]


def _text(value: bytes | None, grammar: re.Pattern[str]) -> str:
    text = (value or b"").decode("utf-8", "replace")
    return text if grammar.fullmatch(text) else ""


def header_v1(source: Endpoint, destination: Endpoint) -> bytes:
    """Return the header of version 1, which is text; ``UNKNOWN`` if an address is no IP address."""
    from_address, to_address = _same_family(source[0], destination[0])
    if from_address is None or to_address is None:
        return b"PROXY UNKNOWN\r\n"
    line = f"PROXY TCP{from_address.version} {from_address} {to_address} {source[1]} {destination[1]}\r\n"
    return line.encode("ascii")


def header_v2(client: Client, destination: Endpoint) -> bytes:
    """Return the header of version 2, which is binary; ``LOCAL`` if an address is no IP address.

    It has at most 795 bytes, which every network of today carries in one segment.
    """
    source = client.endpoint
    from_address, to_address = _same_family(source[0], destination[0])
    if from_address is None or to_address is None:
        return _V2_SIGNATURE + b"\x20\x00\x00\x00"
    family = 0x11 if from_address.version == 4 else 0x21
    body = from_address.packed + to_address.packed
    body += source[1].to_bytes(2, "big") + destination[1].to_bytes(2, "big")
    if client.authority:
        body += _tlv(_AUTHORITY, client.authority.encode("ascii"))
    if client.unique_id:
        body += _tlv(_UNIQUE_ID, client.unique_id.encode("ascii"))
    if client.tls is not None:
        version, cipher = (text.encode("ascii") for text in client.tls)
        inside = _tlv(_TLS_VERSION, version) + _tlv(_TLS_CIPHER, cipher)
        if client.common_name and _ANY_NAME.fullmatch(client.common_name):
            inside += _tlv(_COMMON_NAME, client.common_name.encode("utf-8"))
        verified = client.common_name is not None
        head = _TLS_HEAD.pack(_USES_TLS | (_HAS_CERTIFICATE if verified else 0), not verified)
        body += _tlv(_TLS, head + inside)
    return _V2_SIGNATURE + bytes((0x21, family)) + len(body).to_bytes(2, "big") + body


def _tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


def _same_family(
    source: str, destination: str
) -> tuple[IPv4Address | IPv6Address | None, IPv4Address | IPv6Address | None]:
    """Return both addresses, an IPv4 one mapped into IPv6 if the families differ.

    Returns (None, None) if one of them is no IP address. A zone (``fe80::1%eth0``) is dropped: neither
    version of the header can express it.
    """
    try:
        pair = (ip_address(source.partition("%")[0]), ip_address(destination.partition("%")[0]))
    except ValueError:
        return None, None
    if pair[0].version == pair[1].version:
        return pair
    first, second = (
        IPv6Address(f"::ffff:{address}") if isinstance(address, IPv4Address) else address for address in pair
    )
    return first, second
