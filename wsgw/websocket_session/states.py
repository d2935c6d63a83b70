"""The states of one WebSocket, server side, and what leads from one to another.

pywsgi reads the request; ``listener`` hands it over as the original's events: the request line, each header,
the end of the headers. An upgrade that is accepted (RFC 6455 section 4.2) leads to ``ws_session``, where
messages, pings and pongs pass. The closing handshake (RFC 6455 section 7.1.2) is started by the XMPP side or
by the browser. Either sends one Close frame, and nothing behind it (section 5.5.1). wsgw waits for the
browser's Close until ``close_timeout``; when it answers the browser's, it waits for nothing, since the server
is to end the connection first (section 7.1.1). After a frame that breaks the rules nothing more is read
(section 7.1.7).

Erlang twin: the gen_fsm ``websocket_session``. Each of its states is a method of ``machine.WebSocketSession``
that takes the next event; ``ws_closed`` is new, where the original stopped its process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: What each state waits for; the first is where a machine begins.
STATES: Final[Mapping[str, str]] = {
    "ws_handshake_request": "the request line",
    "ws_handshake_header": "the headers of the upgrade request",
    "ws_session": "frames of the browser, messages of the XMPP side",
    "ws_closing": "the browser's Close, since ours is sent",
    "ws_closed": "nothing, since both sides have closed or the connection is gone",
}

#: By state: each event that leads out of it, and the state that follows.
TRANSITIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "ws_handshake_request": {
        "request line": "ws_handshake_header",
        "connection lost": "ws_closed",
    },
    "ws_handshake_header": {
        "upgrade accepted": "ws_session",
        "upgrade refused": "ws_closed",
        "connection lost": "ws_closed",
    },
    "ws_session": {
        "XMPP side closes": "ws_closing",
        "Close frame": "ws_closed",
        "frame that breaks the rules": "ws_closed",
        "pong_timeout": "ws_closed",
        "connection lost": "ws_closed",
    },
    "ws_closing": {
        "Close frame": "ws_closed",
        "frame that breaks the rules": "ws_closed",
        "close_timeout": "ws_closed",
        "connection lost": "ws_closed",
    },
    "ws_closed": {},
}
