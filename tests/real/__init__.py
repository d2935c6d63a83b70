"""Tests against real XMPP servers, with clients that know nothing of wsgw.

``processes``, ``certificates``, ``servers`` and ``gateway`` start what a test needs on loopback and end it by
its own process group; ``fixtures`` hands them to pytest; ``clients`` holds the programs that log in.
"""
