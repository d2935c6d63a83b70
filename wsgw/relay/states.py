"""The states of one session's relay, and what leads from one to another.

The relay follows its two machines: it parts from the XMPP server once the XMPP session is over
(``upstream_finished``), and ends once the WebSocket is over too (``finished``). Both may come at the same
moment, and at any moment, so that a state may be passed over; none comes twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class State(IntEnum):
    """Where a session stands; it only grows."""

    OPENING = 0
    CONNECTING = 1
    FLOWING = 2
    PARTING = 3
    ENDING = 4
    CLOSED = 5


#: What each state waits for, by its name in the log; the first is where a relay begins.
STATES: Final[Mapping[str, str]] = {
    "opening": "the client's header",
    "connecting": "the connection to the XMPP server",
    "flowing": "bytes of both sides",
    "parting": "the browser's Close, while the server's connection is flushed and closed",
    "ending": "the last bytes for the browser",
    "closed": "nothing, since both connections are closed or being closed",
}

#: By state: each event that leads out of it, and the state that follows.
TRANSITIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "opening": {
        "client opens a stream": "connecting",
        "XMPP session over": "parting",
        "WebSocket over": "ending",
    },
    "connecting": {
        "server connected": "flowing",
        "XMPP session over": "parting",
        "WebSocket over": "ending",
    },
    "flowing": {
        "XMPP session over": "parting",
        "WebSocket over": "ending",
    },
    "parting": {"WebSocket over": "ending"},
    "ending": {"browser has taken the last bytes, or too long": "closed"},
    "closed": {},
}
