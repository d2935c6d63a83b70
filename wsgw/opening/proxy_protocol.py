"""The PROXY protocol, versions 1 and 2: a header before the client's first byte that gives its address.

Listeners with ``use_proxy_protocol`` read it (``parse``); ``upstream_proxy_protocol`` writes it
(``header_v1``, ``header_v2``). Source: haproxy's proxy-protocol.txt.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from wsgw.errors import WsgwError

Endpoint = tuple[str, int]

_V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V1_LIMIT = 107
_V2_LIMIT = 16 + 4096
_V2_ADDRESS_SIZES = {0x11: 4, 0x21: 16}  # TCP over IPv4, over IPv6


class ProxyProtocolError(WsgwError):
    """The connection does not begin with a valid PROXY header."""


def parse(data: bytes) -> tuple[Endpoint | None, int] | None:
    """Read a header at the start of ``data``.

    Returns ((address, port) of the client, length of the header in bytes). The client is None for a
    connection of the proxy itself (``LOCAL``, ``UNKNOWN``). Returns None while the header is incomplete.
    Raises ProxyProtocolError.
    """
    if data.startswith(b"PROXY "):
        return _parse_v1(data)
    if data.startswith(_V2_SIGNATURE):
        return _parse_v2(data)
    if b"PROXY ".startswith(data[:6]) or _V2_SIGNATURE.startswith(data[:12]):
        return None
    raise ProxyProtocolError("no PROXY header")


def _parse_v1(data: bytes) -> tuple[Endpoint | None, int] | None:
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
    return client, end + 2


def _endpoint_v1(family: str, text: str, port: str) -> Endpoint:
    address = ip_address(text)
    if family != f"TCP{address.version}" or "%" in text:
        raise ValueError(text)
    if not port.isdecimal() or int(port) > 65535:
        raise ValueError(port)
    return str(address), int(port)


def _parse_v2(data: bytes) -> tuple[Endpoint | None, int] | None:
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
    return (str(address), port), size


def header_v1(source: Endpoint, destination: Endpoint) -> bytes:
    """Return the header of version 1, which is text; ``UNKNOWN`` if an address is no IP address."""
    from_address, to_address = _same_family(source[0], destination[0])
    if from_address is None or to_address is None:
        return b"PROXY UNKNOWN\r\n"
    line = f"PROXY TCP{from_address.version} {from_address} {to_address} {source[1]} {destination[1]}\r\n"
    return line.encode("ascii")


def header_v2(source: Endpoint, destination: Endpoint) -> bytes:
    """Return the header of version 2, which is binary; ``LOCAL`` if an address is no IP address."""
    from_address, to_address = _same_family(source[0], destination[0])
    if from_address is None or to_address is None:
        return _V2_SIGNATURE + b"\x20\x00\x00\x00"
    family = 0x11 if from_address.version == 4 else 0x21
    body = from_address.packed + to_address.packed
    body += source[1].to_bytes(2, "big") + destination[1].to_bytes(2, "big")
    return _V2_SIGNATURE + bytes((0x21, family)) + len(body).to_bytes(2, "big") + body


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
