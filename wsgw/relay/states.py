"""The states of one session's relay, and their transitions.

The relay follows its two machines. When the XMPP session is over (``upstream_finished``), it closes the
connection to the XMPP server (``parting``); when the WebSocket is over (``finished``), it ends. Both can
happen at the same moment, and at any moment, so that the relay may skip a state; it never returns to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class State(IntEnum):
    """The state of a session; the value only grows."""

    OPENING = 0
    CONNECTING = 1
    FLOWING = 2
    PARTING = 3
    ENDING = 4
    CLOSED = 5


#: The event that each state waits for, by its name in the log; the first state is the initial one.
STATES: Final[Mapping[str, str]] = {
    "opening": "the client's header",
    "connecting": "the connection to the XMPP server",
    "flowing": "bytes of both sides",
    "parting": "the browser's Close, while the server's connection is flushed and closed",
    "ending": "the last bytes for the browser",
    "closed": "nothing, since both connections are closed or being closed",
}

#: For each state: the events that end it, each with the next state.
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
