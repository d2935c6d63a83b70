"""One session as an admin with the token sees it: a line of the table, or all its facts.

The values are JSON types. They include the JID and addresses of the client, and no content.
"""

from __future__ import annotations

from typing import Any, Protocol

from wsgw.telemetry import session_log
from wsgw.telemetry.peer import Peer

#: Characters of a JID, and of a value from the request.
_SHOWN_JID, _SHOWN_TEXT = 512, 256


class Server(Protocol):
    """The connection to the XMPP server."""

    @property
    def peer_name(self) -> str: ...

    @property
    def tls_parameters(self) -> tuple[str, str] | None: ...


class Watch(Protocol):
    """The sweep of a session."""

    @property
    def queued(self) -> tuple[int, int, bool]: ...


class Session(session_log.Session, Protocol):
    """A session, as it is shown."""

    #: When it began (monotonic), and the port of its listener.
    @property
    def started(self) -> float: ...

    @property
    def port(self) -> int: ...

    @property
    def state_name(self) -> str: ...

    @property
    def server(self) -> Server | None: ...

    @property
    def watch(self) -> Watch: ...


def matches(session: Session, words: str) -> bool:
    """Whether ``words`` is in the JID, the client's address or the host, or is the connection's number.

    Empty ``words`` match every session. Case does not count.
    """
    words = words.lower()
    peer, xmpp = session.peer, session.xmpp
    if words.removeprefix("#") == str(peer.connection_id):
        return True
    return words in xmpp.login.jid.lower() or words in peer.client or words in xmpp.domain


def line(session: Session, now: float) -> dict[str, Any]:
    """A line of the table; ``now`` is monotonic, ``duration`` in seconds."""
    xmpp = session.xmpp
    return {
        "connection": session.peer.connection_id,
        "jid": xmpp.login.jid[:_SHOWN_JID],
        "client": session.peer.client,
        "host": xmpp.domain,
        "framing": xmpp.framing_name,
        "state": xmpp.state_name,
        "duration": round(now - session.started, 1),
        "stanzas_from_client": xmpp.stanzas_from_client,
        "stanzas_to_client": xmpp.stanzas_to_client,
    }


def facts(session: Session, now: float) -> dict[str, Any]:
    """All facts about a session; ``now`` is monotonic. Values that do not apply are None."""
    peer, websocket, xmpp, server = session.peer, session.session, session.xmpp, session.server
    for_browser, for_server, paused = session.watch.queued
    return {
        **line(session, now),
        "logged_in": xmpp.login.succeeded,
        "resumed": xmpp.login.resumed,
        "resumable": xmpp.login.resumable,
        "states": {
            "relay": session.state_name,
            "websocket": websocket.state_name,
            "xmpp": xmpp.state_name,
        },
        "frames_from_browser": websocket.frames_received,
        "frames_to_browser": session.frames_to_browser,
        "bytes_from_browser": session.up.bytes_received,
        "bytes_to_browser": session.down.bytes_sent,
        "bytes_from_upstream": session.down.bytes_received,
        "bytes_to_upstream": session.up.bytes_sent,
        "queued_to_browser": for_browser,
        "queued_to_upstream": for_server,
        "paused": paused,
        "last_ping": websocket.ping_time,
        "upstream": server.peer_name if server is not None else None,
        "upstream_tls": _words(server.tls_parameters) if server is not None else None,
        **_edge(peer, session.port),
    }


def _edge(peer: Peer, port: int) -> dict[str, Any]:
    """The facts about the browser's connection."""
    return {
        "port": port,
        "tls": _words(peer.tls),
        "proxy": peer.proxy,
        "authority": _cut(peer.authority),
        "request_id": _cut(peer.request_id),
        "common_name": _cut(peer.common_name),
    }


def _words(tls: tuple[str, str] | None) -> str | None:
    return " ".join(tls) if tls is not None else None


def _cut(text: str | None) -> str | None:
    return text if text is None else text[:_SHOWN_TEXT]
