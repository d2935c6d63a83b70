"""The processes of a gateway: spread, death, reload, drain and upgrade, under counted traffic.

traffic   sessions whose every stanza comes back, and attempts to connect, in a thread of the test
"""
