"""Limits over all workers: how many connections there are, who may connect, which worker accepts.

table          the shared memory in which all workers count connections, by worker and by address
admission      the limits in all and per address, and how fast one address may connect
accept_share   which worker accepts the next connection
"""
