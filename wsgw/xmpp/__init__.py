"""The parts of XMPP that wsgw must understand: domains, the two framings, logins.

domain         brings domain names into one spelling (IDNA)
framing        translates messages into stanzas and back, in RFC 7395 framing and in legacy framing
choice         decides which framing a client's header speaks, and whether it may open a stream
header         writes stream headers and stream errors for both framings
features       edits the features that a server offers, for clients of a WebSocket
stream_limits  announces the limits of wsgw in them (XEP-0478)
login          follows a login: its success, the JID, whether the session can be resumed
"""
