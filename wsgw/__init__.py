"""wsgw: an XMPP-over-WebSocket gateway (RFC 7395, and the framing before it) for any XMPP server."""

__version__ = "0.1.0"
