"""Why sessions end, as the few words that a counter can carry; the log has the whole sentence.

A cause is what ``WebSocketXmpp.cause`` holds. Some of it is a peer's (a Close code, a condition of the
server's): none of that becomes a label, so their number is fixed.
"""

from __future__ import annotations

import re

OTHER = "other"
#: (how a cause begins, its label, the option whose limit was hit or "")
_CAUSES = (
    ("closed by the client", "closed_by_client", ""),
    ("closed by the server", "closed_by_server", ""),
    ("server: ", "server_error", ""),
    ("see-other-host", "see_other_host", ""),
    ("Close ", "browser_left", ""),
    ("connection lost: send_buffer_hard", "browser_lost", "send_buffer_hard"),
    ("connection lost", "browser_lost", ""),
    ("no pong", "no_pong", "pong_timeout"),
    ("slow consumer: send_timeout", "slow_consumer", "send_timeout"),
    ("connection-timeout: nothing was heard", "idle", "websocket_timeout"),
    ("connection-timeout: no stream", "no_stream", "open_timeout"),
    ("policy-violation: no login in time", "no_login", "auth_timeout"),
    ("policy-violation: stanza above", "policy_violation", "max_stanza_size"),
    ("policy-violation: elements nested", "policy_violation", "max_depth"),
    ("policy-violation: too many attributes", "policy_violation", "max_attributes"),
    ("policy-violation: ", "policy_violation", ""),
    ("remote-connection-failed: ", "upstream_failed", ""),
    ("system-shutdown: ", "shutdown", ""),
    ("the gateway stops", "shutdown", ""),
    ("gateway stopped", "shutdown", ""),
    ("internal-server-error: ", "fault", ""),
    ("host-unknown: ", "host_unknown", ""),
    ("bad-format: ", "bad_xml", ""),
    ("invalid-namespace: ", "bad_xml", ""),
    ("not-well-formed: ", "bad_xml", ""),
    ("restricted-xml: ", "bad_xml", ""),
    ("unsupported-encoding: ", "bad_xml", ""),
)
#: The Close code and the reason of a violation of RFC 6455.
_VIOLATION = re.compile(r"1\d\d\d ")
_VIOLATED = "bad_websocket"

#: The options whose limits end sessions.
LIMITS = frozenset(limit for _, _, limit in _CAUSES if limit)
CAUSES = tuple(dict.fromkeys([*(label for _, label, _ in _CAUSES), _VIOLATED, OTHER]))


def classified(cause: str) -> tuple[str, str]:
    """The label of a cause, and the option whose limit was hit; empty if none was."""
    for beginning, label, limit in _CAUSES:
        if cause.startswith(beginning):
            return label, limit
    return (_VIOLATED if _VIOLATION.match(cause) else OTHER), ""
