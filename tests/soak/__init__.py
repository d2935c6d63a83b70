"""The real gateway under mixed traffic, churn and faults, with books kept at both of its ends.

script   what every session says, worked out from its name alone, so that both ends know it
server   the XMPP server: reads, checks and answers; stalls, ends, dies
clients  the browsers: come and go, well-behaved and not
soak     the program: starts all, audits the books, memory, file descriptors and log
"""
