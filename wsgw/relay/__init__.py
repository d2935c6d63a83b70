"""One session: two sockets, the two machines between them, and how it ends.

life    starts a session, couples its sockets with its machines, settles its end
states  its states and transitions: the table that diagrams are drawn from
flow    one direction of it: reading, working off, back-pressure
sweep   deadlines, and peers that take nothing or are not read
"""
