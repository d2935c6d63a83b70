"""A client that proves that a gateway works: two logins and a message through its WebSocket.

    probe              logs two accounts in and sends a message from one to the other
    session            the session of an account, in both framings
    websocket_client   the WebSocket client (RFC 6455) of the probe and the doctor

They share no code with ``websocket_frame`` and ``xmpp.framing``, so that they find faults in those modules.
"""

from wsgw.probe.probe import ProbeFailed, prove

__all__ = ["ProbeFailed", "prove"]
