"""One WebSocket: upgrade, messages, pings, the closing handshake (RFC 6455).

    machine        the state machine, the original's gen_fsm of this name
    states         its states and transitions: the theory, and the table that diagrams are drawn from
    sides          the interfaces of its neighbours (frames, XMPP side), its deadlines and events
    browser_queue  bounds wsgw's own answers in the queue to the browser

Other rooms import the names below from here.
"""

from __future__ import annotations

from wsgw.websocket_session.machine import WebSocketSession
from wsgw.websocket_session.sides import Frames, Timers

__all__ = ["Frames", "Timers", "WebSocketSession"]
