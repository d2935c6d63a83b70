"""The states of one XMPP session, and their transitions.

The client opens a stream, and its ``to`` names the domain (RFC 7395 section 3.4). While wsgw connects to the
server of that domain, the client's next messages wait in the WebSocket's machine. In ``loop`` stanzas pass
both ways, and both sides may open new streams on the same connections, as a login does (RFC 6120 section
4.3.3). After a client has ended its stream, wsgw waits for the server's answer (RFC 6120 section 4.4), which
may follow more stanzas.

One rule decides the last bytes for the server: it gets an end tag only if the client or the server ended its
stream, or the client broke the rules. Otherwise it gets a bare FIN, and may keep the session for resumption
(XEP-0198). The browser gets an error or an end in its own framing, and the closing handshake; a lost browser
gets nothing.

Erlang twin: the gen_fsm ``websocket_xmpp``, whose single state was ``loop``; the states before and after it
are spelled out here, where the original crashed. Each state is a method of ``machine.WebSocketXmpp``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: The event that each state waits for; the first state is the initial one.
STATES: Final[Mapping[str, str]] = {
    "wait_for_stream": "the client's stream header",
    "wait_for_upstream": "the connection to the XMPP server, while messages of the client wait",
    "loop": "stanzas of both sides, and the login within auth_timeout",
    "closing": "the server's answer to the end of the client's stream",
    "closed": "nothing, since the session is over",
}

#: For each state: the events that end it, each with the next state.
TRANSITIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "wait_for_stream": {
        "header to a domain served here": "wait_for_upstream",
        "any other message": "closed",
        "open_timeout": "closed",
        "browser lost": "closed",
        "wsgw ends the session": "closed",
    },
    "wait_for_upstream": {
        "server connected": "loop",
        "server cannot be reached": "closed",
        "browser lost": "closed",
        "wsgw ends the session": "closed",
    },
    "loop": {
        "client ends its stream": "closing",
        "client breaks the rules": "closed",
        "server ends its stream": "closed",
        "server sends a stream error": "closed",
        "server breaks the rules": "closed",
        "server lost": "closed",
        "auth_timeout": "closed",
        "browser lost": "closed",
        "wsgw ends the session": "closed",
    },
    "closing": {
        "server ends its stream": "closed",
        "server sends a stream error": "closed",
        "server breaks the rules": "closed",
        "server lost": "closed",
        "no answer in time": "closed",
        "browser lost": "closed",
        "wsgw ends the session": "closed",
    },
    "closed": {},
}
