"""One session: two sockets, the two state machines between them, and how it ends.

life       starts a session, couples its sockets with its machines, settles its end
progress   whether a peer takes what is queued for it
"""
