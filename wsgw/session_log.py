"""The two lines of a connection in the log: when it is opened, and when it is closed.

Their fields are listed in ``docs/logs.md``. A field whose value is None is not written.
"""

from __future__ import annotations

import logging
from typing import Protocol

from wsgw.socket_async import SocketAsync
from wsgw.websocket_session import WebSocketSession
from wsgw.websocket_xmpp import WebSocketXmpp

log = logging.getLogger(__name__)

#: Characters of a JID in a line.
MAX_JID = 512


class Peer(Protocol):
    """Whom a line is about."""

    @property
    def connection_id(self) -> int: ...

    @property
    def client(self) -> str: ...

    @property
    def proxy(self) -> str | None: ...


class Session(Protocol):
    """What has passed through a session."""

    session: WebSocketSession
    xmpp: WebSocketXmpp
    frames_to_browser: int
    bytes_from_browser: int
    bytes_to_browser: int
    bytes_from_upstream: int
    bytes_to_upstream: int

    @property
    def peer(self) -> Peer: ...


def opened(peer: Peer, browser: SocketAsync, port: int) -> None:
    """The browser has got its 101 on the listener at ``port``."""
    log.info(
        "#%(connection)d %(client)s > opened",
        {"event": "opened", "connection": peer.connection_id, "client": peer.client},
        extra={"fields": _edge(peer, browser, port)},
    )


def closed(session: Session, browser: SocketAsync, port: int, duration: float) -> None:
    """The session is over, after ``duration`` seconds."""
    peer, websocket, xmpp = session.peer, session.session, session.xmpp
    log.info(
        "#%(connection)d %(client)s = closed",
        {"event": "closed", "connection": peer.connection_id, "client": peer.client},
        extra={
            "fields": {
                "host": xmpp.domain or None,
                "jid": xmpp.login.jid[:MAX_JID] or None,
                "resumed": xmpp.login.resumed or None,
                "framing": xmpp.framing_name or None,
                "duration": round(duration, 3),
                "close_code": int(websocket.close_code) or None,
                "cause": xmpp.cause,
                "stanzas_from_client": xmpp.stanzas_from_client,
                "stanzas_to_client": xmpp.stanzas_to_client,
                "frames_from_browser": websocket.frames_received,
                "frames_to_browser": session.frames_to_browser,
                "bytes_from_browser": session.bytes_from_browser,
                "bytes_to_browser": session.bytes_to_browser,
                "bytes_from_upstream": session.bytes_from_upstream,
                "bytes_to_upstream": session.bytes_to_upstream,
                **_edge(peer, browser, port),
            }
        },
    )


def _edge(peer: Peer, browser: SocketAsync, port: int) -> dict[str, object]:
    """How the browser is connected."""
    tls, cipher = browser.tls_parameters or (None, None)
    return {"proxy": peer.proxy, "port": port, "tls": tls, "cipher": cipher}
