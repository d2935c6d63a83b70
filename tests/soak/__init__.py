"""The real gateway under mixed traffic, churn and faults, counted at both of its ends.

script   the stanzas of every session, computed from its name alone, so that both ends know them
server   the XMPP server: reads, checks and answers; stalls, ends, dies
clients  the browsers: they connect and leave, some in order and some not
soak     the program: starts all processes, checks the books, memory, file descriptors and log
"""
