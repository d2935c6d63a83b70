"""Tests with real XMPP servers and independent clients.

``processes``, ``certificates``, ``servers`` and ``gateway`` of ``tests.support`` start programs on loopback,
each in its own process group, and end them; ``fixtures`` makes them pytest's. ``clients`` has the programs
that log in.
"""
