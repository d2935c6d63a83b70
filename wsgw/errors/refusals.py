"""The causes for which connections are refused: one table with the labels and statuses of the counters.

Also the phrases of the refusals by which a client can tell what a proxy has changed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """The cause for which a connection is refused, so that it becomes no session."""

    #: The label of the counter; with ``is_limit``, the name of the option whose limit was exceeded.
    label: str
    #: The possible HTTP statuses of the response; 0 for no response.
    statuses: tuple[int, ...]
    is_limit: bool = False


MAX_SESSIONS = Refusal("max_sessions", (503,), is_limit=True)
MAX_SESSIONS_PER_IP = Refusal("max_sessions_per_ip", (503,), is_limit=True)
MAX_CONNECT_RATE = Refusal("max_connect_rate_per_ip", (503,), is_limit=True)
#: The shared table has no room for another client address.
ADDRESSES = Refusal("addresses", (503,))
DRAINING = Refusal("draining", (503,))
MAX_HEADER_SIZE = Refusal("max_header_size", (414, 431), is_limit=True)
#: Without a response if the time ends in the PROXY header, before wsgw reads the request.
HANDSHAKE_TIMEOUT = Refusal("handshake_timeout", (0, 408), is_limit=True)
TLS_HANDSHAKE_TIMEOUT = Refusal("tls_handshake_timeout", (0,), is_limit=True)
#: The client has shown no certificate, or one that is not valid.
TLS_VERIFY = Refusal("tls_verify", (0,))
#: The client closed the connection or broke the rules before wsgw could respond.
NO_REQUEST = Refusal("no_request", (0,))
#: A request that asks for no WebSocket, as health checks do.
PLAIN_REQUEST = Refusal("plain_request", (200,))
#: A request for the addresses of a domain (XEP-0156), answered or not.
HOST_META = Refusal("host_meta", (200, 400, 404, 405))
#: A request of a certificate authority (RFC 8555 section 8.3), answered or not.
ACME_CHALLENGE = Refusal("acme_challenge", (200, 404, 405))
#: A request for a file of the console.
CONSOLE = Refusal("console", (200, 304, 307, 405))
#: Any other error in the request.
HANDSHAKE = Refusal("handshake", (400, 403, 404, 426))

#: All refusals.
REFUSALS = tuple(value for value in list(globals().values()) if isinstance(value, Refusal))

#: The phrase of every refusal with the status 400 begins with this.
BAD_REQUEST = "Bad request: "
#: The rest of it if mostly a proxy is the cause: browsers send these parts of a request unchanged.
OLD_VERSION = "need HTTP/1.1 or higher"
NO_UPGRADE = "'Upgrade' header doesn't include 'websocket'"
NO_CONNECTION = "'Connection' header doesn't include 'upgrade'"
NO_SUBPROTOCOL = "'Sec-WebSocket-Protocol' doesn't include 'xmpp'"
