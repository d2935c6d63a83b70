"""The grammar of a request head (RFC 9112 sections 2 to 6), applied strictly.

If two parsers in a chain of proxies read a head differently, a request can be smuggled past the first one: by
a bare CR that ends a line for one of them only, a NUL that ends a text, two lengths. So every head that two
parsers may read differently is refused, also where the RFC allows a server to guess.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from wsgw.errors import HandshakeRefused
from wsgw.opening.advice import HTTP2

Fields = Sequence[tuple[str, str]]

#: RFC 9110 section 5.6.2.
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: A request line (RFC 9112 section 3) with single blanks and no other white space; HTTP/0.9 has no version.
_REQUEST_LINE = re.compile(rb"([^\x00-\x20\x7f]+) ([^\x00-\x20\x7f]+)(?: (HTTP/[0-9]\.[0-9]))?\r\n")
#: The beginning of a request, and its path without the query.
_REQUEST = re.compile(rb"[A-Z]+ ([^\x00-\x20?]*)")
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
#: How a TLS handshake begins (RFC 8446 section 5.1).
TLS_RECORD = b"\x16\x03"
_PROXY_HEADERS = (b"\r\n\r\n\0\r\nQUIT\n", b"PROXY ")
_PROXY = "a PROXY header, and use_proxy_protocol is off"
#: The first bytes of clients of other protocols, and the hint for the admin.
_NO_HTTP = (
    (
        TLS_RECORD,
        "TLS on a port without tls: the client or the proxy must use ws:// or http://, or set tls",
    ),
    *((header, _PROXY) for header in _PROXY_HEADERS),
    (b"<", "XML without WebSocket: clients that speak plain XMPP belong to the XMPP server's own port"),
)
#: A client with prior knowledge of HTTP/2 begins so (RFC 9113 section 3.4).
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n"


def no_http(beginning: bytes) -> HandshakeRefused | None:
    """Return the refusal if ``beginning`` is the start of another protocol than HTTP/1, otherwise None."""
    for prefix, hint in _NO_HTTP:
        if beginning.startswith(prefix):
            return HandshakeRefused(400, "Bad request", hint=hint)
    if beginning.startswith(_HTTP2_PREFACE):
        return HandshakeRefused(
            400, "Bad request", hint="HTTP/2: the proxy must speak HTTP/1.1 to this port", body=HTTP2
        )
    return None


def no_tls(beginning: bytes) -> tuple[str, str]:
    """Return (hint, path) for bytes that a port with tls received instead of TLS.

    The path is that of a plain HTTP request without its query, otherwise empty.
    """
    if beginning.startswith(_PROXY_HEADERS):
        return _PROXY, ""
    request = _REQUEST.match(beginning)
    if request is None:
        return "no TLS on a port with tls", ""
    cause = "plain HTTP on a port with tls: the client or the proxy must use wss:// or https://"
    return cause, request[1].decode("latin-1")


def parse_request_line(line: bytes) -> tuple[str, str, str]:
    """Return (method, target, version) of a request line (RFC 9112 section 3).

    ``version`` is like ``HTTP/1.1``. Raises HandshakeRefused (400) for a malformed line.
    """
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise HandshakeRefused(400, "Bad request", hint=_error(line) or "no request line")
    method, target, version = found.groups(b"HTTP/0.9")
    if version > b"HTTP/2" or (version == b"HTTP/0.9" and method != b"GET"):
        raise HandshakeRefused(400, "Bad request", hint="unsupported version of HTTP")
    return method.decode("latin-1"), target.decode("latin-1"), version.decode()


def parse_field(line: bytes) -> tuple[str, str]:
    """Return (name, value) of a header line.

    Raises HandshakeRefused (400) for a malformed line, also for white space before the colon (RFC 9112
    section 5.1) and for the continuation of a previous line (section 5.2).
    """
    name, colon, value = line.removesuffix(b"\r\n").partition(b":")
    error = _error(line) or (
        "" if colon and _TOKEN.fullmatch(name) else "a header line without name and colon"
    )
    if error:
        raise HandshakeRefused(400, "Bad request: malformed header", hint=error)
    return name.decode(), value.strip(b" \t").decode("latin-1")


def _error(line: bytes) -> str:
    """Return the forbidden character in ``line``, as a hint (RFC 9112 section 2.2); empty if it has none."""
    if b"\0" in line:
        return "NUL"
    if not line.endswith(b"\r\n"):
        return "a line feed without carriage return"
    return "a carriage return inside a line" if b"\r" in line[:-2] else ""


def check_framing(version: str, fields: Fields) -> None:
    """Raise HandshakeRefused (400) if the end of the request is ambiguous (RFC 9112 section 6)."""
    lengths = [value for name, value in fields if name.lower() == "content-length"]
    codings = [value for name, value in fields if name.lower() == "transfer-encoding"]
    error = ""
    if len(lengths) > 1:
        error = "Content-Length twice"
    elif not all(_DIGITS.fullmatch(value) for value in lengths):
        error = "a Content-Length that is no number"
    elif codings and lengths:
        error = "Content-Length and Transfer-Encoding"
    elif codings and version < "HTTP/1.1":
        error = "Transfer-Encoding in HTTP/1.0"
    if error:
        raise HandshakeRefused(400, "Bad request", hint=error)
