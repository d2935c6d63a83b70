"""A client that proves that a gateway works: two logins and a message through its WebSocket.

    probe              logs two accounts in and sends a message from one to the other
    websocket_client   the WebSocket client (RFC 6455) that the probe needs

Neither shares code with the gateway's frames or framing, so that a fault there is found.
"""

from wsgw.probe.probe import ProbeFailed, prove

__all__ = ["ProbeFailed", "prove"]
