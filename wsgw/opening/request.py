"""Checks an upgrade request (RFC 6455 section 4.2, RFC 7395 section 3.1): the 101 or the refusal.

The checks, their order and their phrases are those of the module that wsgw replaces, so that existing
monitoring and scripts still understand them. A request for the WebSocket's path without an upgrade gets a
text: health checks and people send such requests. This module parses no HTTP and writes none.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from wsgw.errors import HandshakeRefused, PlainRequest
from wsgw.errors.refusals import BAD_REQUEST, NO_CONNECTION, NO_SUBPROTOCOL, NO_UPGRADE, OLD_VERSION
from wsgw.opening.advice import SUBPROTOCOL_LOST, UPGRADE_LOST, WELCOME
from wsgw.opening.proxy_protocol import HOST_NAME

SUBPROTOCOL = "xmpp"
#: The methods of BOSH, the older transport of XMPP over HTTP (XEP-0124), and of its CORS preflight.
_BOSH_METHODS = frozenset({"POST", "OPTIONS"})
_BOSH = "BOSH in the client? Its address must begin with ws:// or wss:// in place of http:// or https://"
#: The only white space around a value (RFC 9110 section 5.6.3); proxies treat any other as part of the value.
_BLANKS = " \t"
#: Scheme and authority of a target in absolute form (RFC 9112 section 3.2.2, RFC 3986 section 3).
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*://[^/]+", re.ASCII | re.IGNORECASE)
SWITCHING = "101 Switching protocol to XMPP over WebSocket"


@dataclass(frozen=True, slots=True)
class UpgradeRequest:
    """A request head: ``version`` is (major, minor), ``headers`` holds (lower-case name, value) in order."""

    method: str
    target: str
    version: tuple[int, int]
    headers: Sequence[tuple[str, str]]

    def values(self, name: str) -> list[str]:
        """Return the values of every header line called ``name`` (lower-case)."""
        return [value for key, value in self.headers if key == name]

    def tokens(self, name: str) -> list[str]:
        """Return the elements of a comma-separated header, over all its lines (RFC 9110 section 5.6.1)."""
        tokens = (token.strip(_BLANKS) for value in self.values(name) for token in value.split(","))
        return [token for token in tokens if token]


def judge(
    request: UpgradeRequest,
    is_served: Callable[[tuple[str, ...]], bool],
    allowed_origins: Iterable[str] = (),
) -> str:
    """Return the client's Sec-WebSocket-Key.

    ``is_served`` gets the decoded segments of the path. ``allowed_origins`` are lower-case; if there are
    none, every origin is allowed. A client that sends no Origin is not a browser and is accepted (RFC 6455
    section 10.2). Raises HandshakeRefused for the first check that fails, and PlainRequest for a request of a
    served path without an upgrade.
    """
    if _is_plain(request) and is_served(path_segments(request.target)):
        raise PlainRequest(WELCOME)
    _require(request.method == "GET", "invalid method", hint=_BOSH if request.method in _BOSH_METHODS else "")
    _require(request.version >= (1, 1), OLD_VERSION, _lost(request))
    _require(len(request.values("host")) == 1, "need exactly one 'Host' header")
    _check_upgrade(request)
    _check_subprotocol(request)
    keys = request.values("sec-websocket-key")
    _require(len(keys) == 1, "need exactly one 'Sec-WebSocket-Key' header")
    versions = request.values("sec-websocket-version")
    _require(len(versions) == 1, "need exactly one 'Sec-WebSocket-Version' header")
    if versions[0].strip(_BLANKS) != "13":
        # The response names the supported versions (RFC 6455 section 4.4).
        raise HandshakeRefused(
            426,
            "Bad request: unsupported version of WebSocket protocol",
            [("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket")],
        )
    key = keys[0].strip(_BLANKS)
    _require(_is_key(key), "invalid 'Sec-WebSocket-Key' header")
    if not is_served(path_segments(request.target)):
        raise HandshakeRefused(404, "Not found")
    _check_origin(request, frozenset(allowed_origins))
    return key


def path_segments(target: str) -> tuple[str, ...]:
    """Return the decoded segments of a request target: query dropped, ``.`` and ``..`` resolved.

    The path is split on ``/`` before decoding, so that an encoded slash stays inside its segment. Raises
    HandshakeRefused (400) for a NUL, and for a target of neither the origin form nor the absolute form
    (RFC 9112 section 3.2): the others are for methods that wsgw does not answer.
    """
    path = target.partition("?")[0].partition("#")[0]
    if not path.startswith("/"):
        absolute = _ABSOLUTE.match(path)
        if absolute is None:
            raise HandshakeRefused(400, f"{BAD_REQUEST}invalid target")
        path = path[absolute.end() :]
    segments: list[str] = []
    for raw in path.split("/"):
        segment = unquote(raw)
        _require("\0" not in segment, "invalid path")
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    return tuple(segments)


def host_name(headers: Iterable[tuple[str, str]]) -> str:
    """Return the name in the ``Host`` header without the port, empty if it is not a host name."""
    host = next((value for name, value in headers if name.lower() == "host"), "")
    name = host.partition(":")[0].strip(_BLANKS)
    return name if HOST_NAME.fullmatch(name) else ""


def path_is_served(target: str, serves: Callable[[tuple[str, ...]], bool]) -> bool:
    """Whether ``serves`` is true for the segments of a request target; False for a malformed target."""
    try:
        return serves(path_segments(target))
    except HandshakeRefused:
        return False


def _require(condition: bool, phrase: str, body: str = "", hint: str = "") -> None:
    if not condition:
        raise HandshakeRefused(400, f"{BAD_REQUEST}{phrase}", body=body, hint=hint)


def _is_plain(request: UpgradeRequest) -> bool:
    """Whether this is a valid request without any header of a WebSocket."""
    hosts = len(request.values("host"))
    return (
        request.method in ("GET", "HEAD")
        and request.version >= (1, 0)
        and (hosts == 1 or (hosts == 0 and request.version < (1, 1)))
        and not _has_token(request, "upgrade", "websocket")
        and not any(name.startswith("sec-websocket-") for name, _ in request.headers)
    )


def _lost(request: UpgradeRequest) -> str:
    """Return the advice for an upgrade that a proxy may have changed; HTTP/0.9 has no headers to change."""
    return UPGRADE_LOST if request.version >= (1, 0) else ""


def _check_upgrade(request: UpgradeRequest) -> None:
    _require(_has_token(request, "upgrade", "websocket"), NO_UPGRADE, UPGRADE_LOST)
    _require(_has_token(request, "connection", "upgrade"), NO_CONNECTION, UPGRADE_LOST)


def _check_subprotocol(request: UpgradeRequest) -> None:
    offered = request.tokens("sec-websocket-protocol")
    spoilt = not request.values("sec-websocket-protocol") or any(
        token.lower().startswith("permessage-") for token in offered
    )
    body = SUBPROTOCOL_LOST if spoilt else ""
    _require(SUBPROTOCOL in offered, NO_SUBPROTOCOL, body)


def _has_token(request: UpgradeRequest, header: str, token: str) -> bool:
    return any(value.lower() == token for value in request.tokens(header))


def _is_key(key: str) -> bool:
    """Whether ``key`` is base64 of 16 bytes (RFC 6455 section 4.2.1)."""
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _check_origin(request: UpgradeRequest, allowed: frozenset[str]) -> None:
    origins = request.values("origin")
    if allowed and any(origin.strip(_BLANKS).lower() not in allowed for origin in origins):
        raise HandshakeRefused(403, "Forbidden: origin not allowed")
