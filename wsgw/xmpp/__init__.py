"""What the gateway understands of XMPP: domains, the two framings, logins.

domain    domain names in one spelling (IDNA)
framing   RFC 7395 and the older framing: stream headers, ends, declarations
login     follows a login: whether it succeeded, the JID, whether the session can be resumed
"""
