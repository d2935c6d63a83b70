"""What the gateway understands of XMPP: domains, the two framings, logins.

domain    domain names in one spelling (IDNA)
framing   RFC 7395 and the older framing: how messages and stanzas translate into each other
choice    which framing a client's header speaks, and whether it may open a stream
header    stream headers and stream errors, which both framings write
features  what a server offers, without what the WebSocket does itself
login     follows a login: whether it succeeded, the JID, whether the session can be resumed
"""
