"""The causes that end sessions: one table for the log, the counters, the stream errors and the docs.

A cause is a value: errors carry it, and methods such as ``browser_lost`` take it. No code reads its text to
learn a fact. A cause may have a detail: a peer's value (a Close code, the condition of a server's error) or
one session's (a size, the message of a parser). The log shows the detail, the counters do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

#: The labels of the counter of sessions that ended: the session ended because ...
LABELS = {
    "closed_by_client": "the client closed its stream",
    "closed_by_server": "the XMPP server closed its stream",
    "server_error": "the XMPP server ended it with a stream error",
    "see_other_host": "the XMPP server redirected the client to another host",
    "browser_left": "the browser closed the WebSocket without closing the stream",
    "browser_lost": "the browser's connection was lost",
    "no_pong": "a ping was not answered within `pong_timeout`",
    "slow_consumer": "the browser did not read",
    "idle": "the browser sent nothing for `websocket_timeout`",
    "no_stream": "`open_timeout` expired before the client opened a stream",
    "no_login": "`auth_timeout` expired before the client logged in",
    "policy_violation": "the client exceeded a limit on stanzas",
    "upstream_failed": "the XMPP server was unreachable, its connection was lost, or it did not speak XMPP",
    "shutdown": "the gateway stopped",
    "fault": "of a fault in the gateway; the log has the traceback",
    "host_unknown": (
        "wsgw does not serve the domain, or a later stream header named another domain than the first"
    ),
    "bad_xml": "the client broke the rules of XMPP",
    "bad_websocket": "the browser broke the rules of WebSocket",
    "other": "of another cause",
}
#: The labels of the counter of stanzas from which a part was removed: a bad name, or its bound.
REPAIRS = NAMESPACE, DEPTH, NAMES, SIZE, MEMORY = ("namespace", "depth", "names", "size", "memory")


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a session's end."""

    #: One of ``LABELS``.
    label: str
    #: The option whose limit was exceeded; empty for a cause without a limit.
    limit: str
    #: For the log, and for both peers if there is a stream error. A detail takes the place of ``{}``.
    text: str
    #: The condition of the stream error for the browser (RFC 6120 section 4.9.3); empty for no error.
    condition: str = ""

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise ValueError(f"{self.label} is no label of a cause")


class Ending(NamedTuple):
    """The cause of one session's end, and its detail; ``str`` gives the text for the log."""

    cause: Cause
    detail: str = ""

    @property
    def text(self) -> str:
        """The text of the cause, with the detail inserted."""
        return self.cause.text.replace("{}", self.detail)

    def __str__(self) -> str:
        return f"{self.cause.condition}: {self.text}" if self.cause.condition else self.text


# -- a peer ends it ----------------------------------------------------------------------------------

CLOSED_BY_CLIENT = Cause("closed_by_client", "", "closed by the client")
CLOSED_BY_SERVER = Cause("closed_by_server", "", "closed by the server")
SERVER_ERROR = Cause("server_error", "", "server: {}")
SEE_OTHER_HOST = Cause("see_other_host", "", "see-other-host")
BROWSER_LEFT = Cause("browser_left", "", "Close {}")
BROWSER_LOST = Cause("browser_lost", "", "connection lost")
#: Before it left, the browser sent more bytes than the XMPP server reads.
LEFT_TOO_MUCH = Cause("browser_lost", "send_buffer_hard", "connection lost: send_buffer_hard")

# -- a deadline is over ------------------------------------------------------------------------------

NO_PONG = Cause("no_pong", "pong_timeout", "no pong")
SLOW_CONSUMER = Cause("slow_consumer", "send_timeout", "slow consumer: send_timeout")
IDLE = Cause(
    "idle", "websocket_timeout", "the client sent nothing within websocket_timeout", "connection-timeout"
)
NO_STREAM = Cause("no_stream", "open_timeout", "no stream was opened", "connection-timeout")
NO_LOGIN = Cause("no_login", "auth_timeout", "no login in time", "policy-violation")

# -- the client breaks the rules ---------------------------------------------------------------------

#: The detail is the Close code and the error.
BAD_WEBSOCKET = Cause("bad_websocket", "", "{}")
LARGE_STANZA = Cause("policy_violation", "max_stanza_size", "stanza above {} bytes", "policy-violation")
DEEP_ELEMENTS = Cause("policy_violation", "max_depth", "elements nested too deeply", "policy-violation")
MANY_ATTRIBUTES = Cause("policy_violation", "max_attributes", "too many attributes", "policy-violation")
LONG_NAMESPACE = Cause("policy_violation", "", "a namespace above {} characters", "policy-violation")
NOT_WELL_FORMED = Cause("bad_xml", "", "{}", "not-well-formed")
RESTRICTED_XML = Cause("bad_xml", "", "{} is not allowed in XMPP", "restricted-xml")
NOT_UTF8 = Cause("bad_xml", "", "text is not UTF-8", "unsupported-encoding")
OTHER_ENCODING = Cause("bad_xml", "", "XMPP is UTF-8 only", "unsupported-encoding")
NO_OPENING = Cause("bad_xml", "", "the first message must open a stream", "bad-format")
OTHER_NAMESPACE = Cause(
    "bad_xml", "", "an XMPP stream cannot be opened in this namespace", "invalid-namespace"
)
OTHER_FRAMING = Cause("bad_xml", "", "this stream was opened in RFC 7395 framing", "bad-format")
NO_FRAMING = Cause(
    "bad_xml", "", "open and close must be in the framing namespace of RFC 7395", "invalid-namespace"
)
HOST_NOT_SERVED = Cause("host_unknown", "", "this domain is not served here", "host-unknown")
OTHER_HOST = Cause("host_unknown", "", "this connection is for another domain", "host-unknown")

# -- the XMPP server cannot be used ------------------------------------------------------------------

UPSTREAM_UNREACHABLE = Cause(
    "upstream_failed", "", "the XMPP server cannot be reached", "remote-connection-failed"
)
UPSTREAM_LOST = Cause(
    "upstream_failed", "", "the XMPP server closed the connection", "remote-connection-failed"
)
UPSTREAM_STALLED = Cause("upstream_failed", "", "the XMPP server does not read", "remote-connection-failed")
UPSTREAM_NO_XMPP = Cause(
    "upstream_failed", "", "the XMPP server sent bytes that are not XMPP", "remote-connection-failed"
)
UPSTREAM_WANTS_TLS = Cause(
    "upstream_failed",
    "",
    "the XMPP server requires STARTTLS (upstream starttls://)",
    "remote-connection-failed",
)

# -- the gateway ends it -----------------------------------------------------------------------------

GATEWAY_STOPS = Cause("shutdown", "", "the gateway stops", "system-shutdown")
#: The session's greenlet was killed before the session had a cause.
GATEWAY_STOPPED = Cause("shutdown", "", "gateway stopped")
FAULT = Cause("fault", "", "fault in the gateway", "internal-server-error")
#: The session has not ended, or a fault prevented that its machine ended.
UNKNOWN = Cause("other", "", "")
NOT_ENDED = Ending(UNKNOWN)

#: All causes.
CAUSES = tuple(value for value in list(globals().values()) if isinstance(value, Cause))
#: The options whose limits end sessions.
LIMITS = frozenset(cause.limit for cause in CAUSES if cause.limit)
