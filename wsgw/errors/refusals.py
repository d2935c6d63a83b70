"""Why connections become no sessions: one table, from which the counters take their labels and statuses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection becomes no session."""

    #: Of the counter; the name of the option whose limit was hit, if one was.
    label: str
    #: The HTTP statuses that it is answered with; 0 for no answer.
    statuses: tuple[int, ...]
    is_limit: bool = False


MAX_SESSIONS = Refusal("max_sessions", (503,), is_limit=True)
MAX_SESSIONS_PER_IP = Refusal("max_sessions_per_ip", (503,), is_limit=True)
MAX_CONNECT_RATE = Refusal("max_connect_rate_per_ip", (503,), is_limit=True)
#: The shared table has no room for one more address.
ADDRESSES = Refusal("addresses", (503,))
DRAINING = Refusal("draining", (503,))
MAX_HEADER_SIZE = Refusal("max_header_size", (414, 431), is_limit=True)
#: Without an answer if the time is over before the request is read: in the PROXY header.
HANDSHAKE_TIMEOUT = Refusal("handshake_timeout", (0, 408), is_limit=True)
TLS_HANDSHAKE_TIMEOUT = Refusal("tls_handshake_timeout", (0,), is_limit=True)
#: The connection ended, or broke the rules, before a request could be answered.
NO_REQUEST = Refusal("no_request", (0,))
#: A request that asks for no WebSocket, as health checks do.
PLAIN_REQUEST = Refusal("plain_request", (200,))
#: Any other fault of the request.
HANDSHAKE = Refusal("handshake", (400, 403, 404, 426))

#: All of them.
REFUSALS = tuple(value for value in list(globals().values()) if isinstance(value, Refusal))
