"""The XMPP server behind a listener.

connect  finds, connects and secures it, for a session
check    connects to each server once, to find out whether it works
"""

from wsgw.upstream.connect import Upstream

__all__ = ["Upstream"]
