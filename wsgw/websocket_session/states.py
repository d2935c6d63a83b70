"""The states of one WebSocket, server side, and their transitions.

pywsgi reads the request; ``listener`` passes it on as the original's events: the request line, each header,
the end of the headers. An accepted upgrade (RFC 6455 section 4.2) leads to ``ws_session``, where
messages, pings and pongs pass. The XMPP side or the browser starts the closing handshake (RFC 6455 section
7.1.2). Each side sends one Close frame, and nothing after it (section 5.5.1). wsgw waits ``close_timeout``
for the browser's Close. After it has answered the browser's Close it does not wait, because the server
closes the connection first (section 7.1.1). After a frame that breaks the rules, wsgw reads nothing more
(section 7.1.7).

Erlang twin: the gen_fsm ``websocket_session``. Each of its states is a method of ``machine.WebSocketSession``
that takes the next event; ``ws_closed`` is new, where the original stopped its process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: The event that each state waits for; the first state is the initial one.
STATES: Final[Mapping[str, str]] = {
    "ws_handshake_request": "the request line",
    "ws_handshake_header": "the headers of the upgrade request",
    "ws_session": "frames of the browser, messages of the XMPP side",
    "ws_closing": "the browser's Close, since ours is sent",
    "ws_closed": "nothing, since both sides have closed or the connection is gone",
}

#: For each state: the events that end it, each with the next state.
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
