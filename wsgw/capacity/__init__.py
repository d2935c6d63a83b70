"""Limits that hold for all workers together: the number of connections, and the rate of new ones.

    table          the shared memory in which all workers count connections, by worker and by address
    admission      the limits of connections, in all and per address, and the rate of new ones per address
    accept_share   which worker accepts the next connection

No module here reads a clock: callers give the time.
"""
