"""One session: its two sockets and the two state machines between them.

    life    starts a session, connects its sockets with its machines, ends it
    states  its states and transitions: the table that diagrams are drawn from
    flow    one direction of the session: reading, processing, back-pressure
    sweep   checks deadlines, and peers that take no bytes or are not read

The state machines are ``websocket_session`` and ``websocket_xmpp``.
"""
