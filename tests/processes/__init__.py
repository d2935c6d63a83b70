"""The processes of a gateway: spread, death, reload, drain, upgrade, under traffic with books.

traffic   sessions whose every stanza comes back, and attempts to connect, in a thread of the test
"""
