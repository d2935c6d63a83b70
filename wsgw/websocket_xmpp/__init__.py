"""One XMPP session over one WebSocket (RFC 7395, RFC 6120).

    machine    the state machine, the original's gen_fsm of this name
    states     its states and transitions: the theory, and the table that diagrams are drawn from
    sides      the interface of the WebSocket, and the limits of the client
    deadlines  the deadline of the header, the login and the end of the stream

Other rooms import the names below from here.
"""

from __future__ import annotations

from wsgw.websocket_xmpp.machine import WebSocketXmpp
from wsgw.websocket_xmpp.sides import Browser, XmppLimits

__all__ = ["Browser", "WebSocketXmpp", "XmppLimits"]
