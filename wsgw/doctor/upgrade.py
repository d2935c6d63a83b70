"""The upgrade to a WebSocket as a browser asks for it, and the reason why it is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from gevent import socket, ssl

from wsgw.doctor.inquiry import Inquiry
from wsgw.doctor.proxies import (
    BACKEND,
    FORWARD_PATH,
    FORWARD_SUBPROTOCOL,
    FORWARD_UPGRADE,
    Advice,
    what_to_set,
)
from wsgw.doctor.reach import at_most, connect, reason
from wsgw.doctor.tls import trusting, verifying
from wsgw.errors.refusals import BAD_REQUEST, NO_CONNECTION, NO_SUBPROTOCOL, NO_UPGRADE, OLD_VERSION
from wsgw.probe.websocket_client import (
    Response,
    UpgradeRefused,
    WebSocketClient,
    WebSocketFailed,
    WrongAccept,
    WrongSubprotocol,
)

#: Seconds for connection, TLS and the answer to the request.
TIMEOUT = 15.0
_FORBIDDEN: Final = 403
#: The phrase of wsgw's refusal → the part that it misses, and the advice.
_LOST: Final[Mapping[str, tuple[str, Advice]]] = {
    BAD_REQUEST + OLD_VERSION: ("speaks HTTP/1.0 to wsgw", FORWARD_UPGRADE),
    BAD_REQUEST + NO_UPGRADE: ("removes the header Upgrade", FORWARD_UPGRADE),
    BAD_REQUEST + NO_CONNECTION: ("removes the header Connection: Upgrade", FORWARD_UPGRADE),
    BAD_REQUEST + NO_SUBPROTOCOL: ("removes the header Sec-WebSocket-Protocol", FORWARD_SUBPROTOCOL),
}


class Entered(NamedTuple):
    """An open WebSocket. ``refused``: the answer to the same request with the Origin, if it was refused."""

    client: WebSocketClient
    refused: Response | None = None


class Backend(NamedTuple):
    """The gateway behind the proxy, for the directives: a path of the WebSocket, and ``HOST:PORT``."""

    path: str
    place: str
    #: Whether it has just opened a WebSocket directly; None if that was not tried.
    works: bool | None


def enter(
    url: str, origin: str, dial: Callable[[str, int], socket.socket], context: ssl.SSLContext
) -> Entered:
    """Open the WebSocket at ``url``, as a page of ``origin`` does; if that is forbidden, without Origin.

    Raises OSError (also after ``TIMEOUT``), WebSocketFailed and what ``dial`` raises.
    """
    with at_most(TIMEOUT):
        try:
            return Entered(WebSocketClient(url, connect=dial, context=context, origin=origin))
        except UpgradeRefused as refusal:
            if refusal.response.status != _FORBIDDEN or not origin:
                raise
            with suppress(WebSocketFailed):
                return Entered(WebSocketClient(url, connect=dial, context=context), refusal.response)
            raise


def enter_public(url: str, origin: str, inquiry: Inquiry) -> Entered:
    """The same at the address of clients, even if its certificate is refused. Raises LookupFailed too."""
    way = partial(connect, server=inquiry.resolver)
    try:
        return enter(url, origin, way, verifying(inquiry.cafile))
    except ssl.SSLCertVerificationError:
        return enter(url, origin, way, trusting())


def why_not(error: OSError | WebSocketFailed, path: str, backend: Backend) -> tuple[str, str]:
    """Why the public address opens no WebSocket, and what to do. ``path``: that of the address."""
    if isinstance(error, UpgradeRefused):
        return _about_refusal(error.response, path, backend)
    if isinstance(error, WrongAccept):
        what = (
            "answers for another request (Sec-WebSocket-Accept): a cache or a proxy answers in wsgw's place"
        )
        return (
            what,
            "let no cache answer this path, and let the proxy forward all Sec-WebSocket headers unchanged",
        )
    if isinstance(error, WrongSubprotocol):
        what = "opens a WebSocket without the subprotocol xmpp: clients close it"
        return what, what_to_set(FORWARD_SUBPROTOCOL, error.response)
    if isinstance(error, WebSocketFailed):
        return (
            f"ends the connection during the upgrade ({error})",
            "read the log of the proxy for this request",
        )
    what = f"{reason(error)} after the request for an upgrade"
    return what, "read the log of the proxy for this request: " + _backend_advice(None, path, backend)


def _about_refusal(response: Response, path: str, backend: Backend) -> tuple[str, str]:
    status = response.status
    if response.phrase in _LOST:
        what, advice = _LOST[response.phrase]
        fix = what_to_set(advice, response, path=path, backend=backend.place)
        return f"the proxy {what}, so wsgw refuses the upgrade ({status})", fix
    if 300 <= status < 400:
        place = ", ".join(response.values("location")) or "nowhere"
        what = f"answers {status}, a redirect to {place}: browsers do not follow it for a WebSocket"
        return what, "let host-meta and clients name the final address, or do not redirect this path"
    if status in (404, 410):
        return _about_path(response, path, backend)
    if status in (502, 503, 504):
        what = f"the proxy answers {status}: it gets no answer from wsgw"
        if backend.works:
            what += f", though wsgw answers on {backend.place}"
        return what, _backend_advice(response, path, backend)
    if status in (401, _FORBIDDEN, 407):
        fix = (
            "exempt this path from logins, address lists and filters of the proxy: the XMPP login comes later"
        )
        return f"answers {status}", fix
    if status in (200, 400, 426):
        what = f"answers {status} in place of 101: the proxy does not forward the upgrade"
        return what, what_to_set(FORWARD_UPGRADE, response, path=path, backend=backend.place)
    if status == 0:
        return "does not answer in HTTP", "let the proxy speak HTTP/1.1 on this port (haproxy: mode http)"
    return f"answers {status} to the upgrade", "read the log of the proxy for this request"


def _about_path(response: Response, path: str, backend: Backend) -> tuple[str, str]:
    what = f"answers {response.status}: no WebSocket at the path {path}"
    advice = what_to_set(FORWARD_PATH, response, path=backend.path, backend=backend.place)
    if backend.path == path:
        return what, f"let the proxy forward this path unchanged: {advice}"
    fix = f"name the path {backend.path} in host-meta, or forward this path as {backend.path}: {advice}"
    return f"{what}; wsgw serves {backend.path}", fix


def _backend_advice(response: Response | None, path: str, backend: Backend) -> str:
    advice = what_to_set(BACKEND, response, path=path, backend=backend.place)
    start = "" if backend.works else "start wsgw, and "
    return f"{start}let the proxy connect to its listener: {advice}"
