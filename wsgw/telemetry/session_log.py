"""The lines of a connection in the log: when it is opened and closed, or its request refused.

Their fields are listed in ``docs/logs.md``. A field whose value is None is not written.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple, Protocol

from wsgw.config.model import ListenerConfig
from wsgw.errors import HandshakeRefused
from wsgw.stanzas.server import Fault
from wsgw.telemetry.peer import Peer
from wsgw.websocket_session import WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp

log = logging.getLogger("wsgw.session_log")

#: Characters of a JID in a line.
_SHOWN_JID = 512
#: Characters of what a request asked for, and of what it might have asked for.
MAX_ASKED, MAX_OFFERED = 256, 512
#: What begins a query, which may stand behind another sign, or be encoded once too often by a proxy.
_QUERY = re.compile("[?#;&=]|%(?:3[BDF]|2[36])", re.IGNORECASE)
#: Parts of a request's target; words are those a name of a path may have (``xmpp-websocket``, ``v2``).
_USERINFO, _ENCODED = re.compile("//[^/]*@"), re.compile("%[0-9A-Fa-f]{2}")
_WORD, _NAME = re.compile("[A-Za-z0-9]+"), re.compile("[A-Za-z]*[0-9]{0,5}")


#: Version and cipher suite of the browser's TLS; None without TLS.
Tls = tuple[str, str] | None


class Asked(NamedTuple):
    """What a refused request asked for, as far as it was read."""

    method: str
    target: str
    #: Its Origin; several are separated by commas.
    origin: str
    #: Whether the listener serves its path.
    is_served: bool


class Flow(Protocol):
    """What has passed in one direction of a session; TLS is not counted."""

    bytes_received: int
    bytes_sent: int


class Session(Protocol):
    """What has passed through a session."""

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


def opened(peer: Peer, tls: Tls, port: int) -> None:
    """The browser has got its 101 on the listener at ``port``."""
    log.info(
        "#%(connection)d %(client)s > opened",
        {"event": "opened", "connection": peer.connection_id, "client": peer.client},
        extra={"fields": _edge(peer, tls, port)},
    )


def not_served(peer: Peer, domain: str, hosts: Iterable[str]) -> None:
    """A stream was opened to ``domain``, which is none of ``hosts``."""
    log.info(
        "#%(connection)d %(client)s ! domain not served",
        {"event": "not served", "connection": peer.connection_id, "client": peer.client},
        extra={"fields": {"to": cut(domain), "hosts": listed(sorted(hosts))}},
    )


def repaired(peer: Peer, domain: str, fault: Fault) -> None:
    """Something was taken out of a stanza of the XMPP server's; its sender chose what."""
    reasons = ",".join(sorted(fault.reasons))
    log.warning(
        "#%(connection)d %(client)s ! repaired a stanza of the XMPP server",
        {"event": "repaired", "connection": peer.connection_id, "client": peer.client},
        extra={"fields": {"host": domain, "sender": fault.sender[:_SHOWN_JID] or None, "reason": reasons}},
    )


def closed(session: Session, tls: Tls, port: int, duration: float) -> None:
    """The session is over, after ``duration`` seconds."""
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
                **_edge(peer, tls, port),
            }
        },
    )


def refused(
    client: str,
    proxy: str | None,
    refusal: HandshakeRefused,
    asked: Asked,
    config: ListenerConfig,
    *,
    quiet: bool,
) -> None:
    """A request is answered with ``refusal``; with ``quiet`` it was no client's, but a health check's."""
    known = {"event": "refused", "client": client, "status": refusal.status, "reason": str(refusal)}
    fields = {
        "proxy": proxy,
        "method": cut(asked.method) if asked.method != "GET" else None,
        "path": shown_path(asked.target),
        **_offered(refusal, asked, config),
        "hint": refusal.hint,
    }
    extra = {"fields": {name: value or None for name, value in fields.items()}}
    if quiet:
        log.debug("%(client)s = no upgrade asked for: %(reason)s", known, extra=extra)
        return
    level = logging.INFO if refusal.status < HTTPStatus.INTERNAL_SERVER_ERROR else logging.WARNING
    log.log(level, "%(client)s ! upgrade refused: %(reason)s", known, extra=extra)


def _offered(refusal: HandshakeRefused, asked: Asked, config: ListenerConfig) -> dict[str, str]:
    """What the listener has in place of what was asked for."""
    if asked.target and not asked.is_served:
        return {"paths": listed("/" + "/".join(handler.path) for handler in config.request_handlers)}
    if refusal.status == HTTPStatus.FORBIDDEN:
        return {"origin": cut(asked.origin), "origins": listed(sorted(config.websocket_origin))}
    return {}


def shown_path(target: str) -> str:
    """Return the path of a request's target, without what may be a secret.

    That is query, parameters, user and password, and segments with digits inside words, as tokens have.
    """
    path = _QUERY.split(_USERINFO.sub("//", target), 1)[0]
    return cut("/".join(segment if _is_name(segment) else "..." for segment in path.split("/")))


def _is_name(segment: str) -> bool:
    return all(_NAME.fullmatch(word) for word in _WORD.findall(_ENCODED.sub("-", segment)))


def cut(text: str, size: int = MAX_ASKED) -> str:
    """Return what a peer wrote, not longer than a line of the log bears."""
    return text if len(text) <= size else text[:size] + "..."


def listed(names: Iterable[str]) -> str:
    """Return names of the configuration in one text."""
    return cut(", ".join(names), MAX_OFFERED) or "none"


def _edge(peer: Peer, tls: Tls, port: int) -> dict[str, object]:
    """How the browser is connected."""
    version, cipher = tls or (None, None)
    return {"proxy": peer.proxy, "port": port, "tls": version, "cipher": cipher}
