"""A connected socket, plain or TLS, for straight-line code and for callbacks.

    wrapper     ``SocketAsync``: blocking calls, and deliveries by ``active_once``
    outbox      queues the bytes that the kernel has not taken
    tls_engine  TLS over memory, without a socket
    kernel      asks the kernel for the state of a connection

Other rooms import the names below from here.
"""

from __future__ import annotations

from wsgw.socket_async.kernel import PeerState
from wsgw.socket_async.outbox import Outbox
from wsgw.socket_async.wrapper import CHUNK, LINGER_TIMEOUT, SocketAsync

__all__ = ["CHUNK", "LINGER_TIMEOUT", "Outbox", "PeerState", "SocketAsync"]
