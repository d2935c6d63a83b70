"""What the gateway costs, measured beside haproxy and the XMPP servers' own WebSockets."""
