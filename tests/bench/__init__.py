"""The cost of the gateway, compared with haproxy and the XMPP servers' own WebSockets."""
