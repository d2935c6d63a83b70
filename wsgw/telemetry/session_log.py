"""The log lines of a connection: its session is opened or closed, or its request is refused.

``docs/logs.md`` lists their fields. A field with the value None is omitted.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple, Protocol

from wsgw.config.model import HANDLER, ListenerConfig
from wsgw.errors import HandshakeRefused
from wsgw.stanzas.server import Repair
from wsgw.telemetry.peer import Peer
from wsgw.websocket_session import WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp

log = logging.getLogger("wsgw.session_log")

#: Characters of a JID in a line at most.
_SHOWN_JID = 512
#: Characters at most of a text from the request, and of a list of names from the configuration.
_SHOWN_TEXT, _SHOWN_NAMES = 256, 512
#: The sign that begins a query: ``?``, another delimiter, or one that a proxy has percent-encoded.
_QUERY = re.compile("[?#;&=]|%(?:3[BDF]|2[36])", re.IGNORECASE)
#: Parts of a request's target. ``_NAME`` matches the words of usual paths (``xmpp-websocket``, ``v2``).
_USERINFO, _ENCODED = re.compile("//[^/]*@"), re.compile("%[0-9A-Fa-f]{2}")
_WORD, _NAME = re.compile("[A-Za-z0-9]+"), re.compile("[A-Za-z]*[0-9]{0,5}")


class RefusedRequest(NamedTuple):
    """A refused request, as far as it was read; parts that were not read are empty."""

    method: str
    target: str
    #: The values of its ``Origin`` headers, separated by commas.
    origin: str
    #: Whether the listener serves its path.
    is_served: bool
    #: As in ``Peer``.
    request_id: str | None = None
    traceparent: str | None = None


class Flow(Protocol):
    """The byte counts of one direction of a session, without TLS."""

    bytes_received: int
    bytes_sent: int


class Session(Protocol):
    """A session, as its log lines need it."""

    session: WebSocketSession
    xmpp: WebSocketXmpp
    frames_to_browser: int

    @property
    def peer(self) -> Peer: ...

    @property
    def up(self) -> Flow:
        """From the browser to the XMPP server."""

    @property
    def down(self) -> Flow:
        """From the XMPP server to the browser."""


def opened(peer: Peer, port: int) -> None:
    """Log that a browser has got a 101 from the listener on ``port``."""
    log.info(
        "#%(connection)d %(client)s > opened",
        {"event": "opened", "connection": peer.connection_id, "client": peer.client},
        extra={"fields": _edge(peer, port)},
    )


def not_served(peer: Peer, domain: str, hosts: Iterable[str]) -> None:
    """Log that a client has opened a stream to ``domain``, which is not one of ``hosts``."""
    log.info(
        "#%(connection)d %(client)s ! domain not served",
        {"event": "not served", "connection": peer.connection_id, "client": peer.client},
        extra={"fields": {"to": cut(domain), "hosts": listed(sorted(hosts))}},
    )


def repaired(peer: Peer, domain: str, repair: Repair) -> None:
    """Log that wsgw has removed a part of a stanza from the XMPP server.

    ``repair`` has the sender, which chose the content of the stanza, and the reasons.
    """
    reasons = ",".join(sorted(repair.reasons))
    log.warning(
        "#%(connection)d %(client)s ! repaired a stanza of the XMPP server",
        {"event": "repaired", "connection": peer.connection_id, "client": peer.client},
        extra={"fields": {"host": domain, "sender": repair.sender[:_SHOWN_JID] or None, "reason": reasons}},
    )


def closed(session: Session, port: int, duration: float) -> None:
    """Log that a session has ended, after ``duration`` seconds."""
    peer, websocket, xmpp = session.peer, session.session, session.xmpp
    up, down = session.up, session.down
    log.info(
        "#%(connection)d %(client)s = closed",
        {"event": "closed", "connection": peer.connection_id, "client": peer.client},
        extra={
            "fields": {
                "host": xmpp.domain or None,
                "jid": xmpp.login.jid[:_SHOWN_JID] or None,
                "resumed": xmpp.login.resumed or None,
                "framing": xmpp.framing_name or None,
                "duration": round(duration, 3),
                "close_code": int(websocket.close_code) or None,
                "cause": str(xmpp.ending),
                "stanzas_from_client": xmpp.stanzas_from_client,
                "stanzas_to_client": xmpp.stanzas_to_client,
                "frames_from_browser": websocket.frames_received,
                "frames_to_browser": session.frames_to_browser,
                "bytes_from_browser": up.bytes_received,
                "bytes_to_browser": down.bytes_sent,
                "bytes_from_upstream": down.bytes_received,
                "bytes_to_upstream": up.bytes_sent,
                **_edge(peer, port),
            }
        },
    )


def refused(
    client: str,
    proxy: str | None,
    refusal: HandshakeRefused,
    request: RefusedRequest,
    config: ListenerConfig,
    *,
    quiet: bool,
) -> None:
    """Log that a request is answered with ``refusal``.

    ``client`` and ``proxy``: addresses. ``quiet``: log at debug, because it is a health check.
    """
    known = {"event": "refused", "client": client, "status": refusal.status, "reason": str(refusal)}
    fields = {
        "proxy": proxy,
        "method": cut(request.method) if request.method != "GET" else None,
        "path": shown_path(request.target),
        **_offered(refusal, request, config),
        "hint": refusal.hint,
        "request_id": request.request_id,
        "traceparent": request.traceparent,
    }
    extra = {"fields": {name: value or None for name, value in fields.items()}}
    if quiet:
        log.debug("%(client)s = no upgrade asked for: %(reason)s", known, extra=extra)
        return
    level = logging.INFO if refusal.status < HTTPStatus.INTERNAL_SERVER_ERROR else logging.WARNING
    log.log(level, "%(client)s ! upgrade refused: %(reason)s", known, extra=extra)


def _offered(refusal: HandshakeRefused, request: RefusedRequest, config: ListenerConfig) -> dict[str, str]:
    """The paths or the origins that the listener accepts, if the request had none of them."""
    if request.target and not request.is_served:
        return {"paths": listed(config.paths_of(HANDLER))}
    if refusal.status == HTTPStatus.FORBIDDEN:
        return {"origin": cut(request.origin), "origins": listed(sorted(config.websocket_origin))}
    return {}


def shown_path(target: str) -> str:
    """The path of a request's target, without parts that may be secret.

    These are the query, parameters, user and password, and segments with digits inside words, as in tokens.
    """
    path = _QUERY.split(_USERINFO.sub("//", target), 1)[0]
    return cut("/".join(segment if _is_name(segment) else "..." for segment in path.split("/")))


def _is_name(segment: str) -> bool:
    return all(_NAME.fullmatch(word) for word in _WORD.findall(_ENCODED.sub("-", segment)))


def cut(text: str, size: int = _SHOWN_TEXT) -> str:
    """``text`` from a peer, cut after ``size`` characters."""
    return text if len(text) <= size else text[:size] + "..."


def listed(names: Iterable[str]) -> str:
    """Names from the configuration as one text, cut after ``_SHOWN_NAMES`` characters."""
    return cut(", ".join(names), _SHOWN_NAMES) or "none"


def _edge(peer: Peer, port: int) -> dict[str, object]:
    """The fields about the browser's connection."""
    version, cipher = peer.tls or (None, None)
    return {
        "proxy": peer.proxy,
        "port": port,
        "tls": version,
        "cipher": cipher,
        "common_name": peer.common_name,
        "authority": peer.authority,
        "request_id": peer.request_id,
        "traceparent": peer.traceparent,
    }
