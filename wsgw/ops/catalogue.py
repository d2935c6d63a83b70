"""Every metric there is: its name, what kind it is, its labels and its meaning.

``docs/metrics.md`` holds this table, and that of the causes of sessions' ends. Names and units follow
Prometheus' conventions. All labels have a fixed set of values, or those the configuration gives them.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from wsgw.errors.causes import LABELS

Kind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """One row."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    #: Upper bounds of a histogram's buckets.
    buckets: tuple[float, ...] = ()


_NETWORK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

#: Counted by each worker, and kept when it dies.
COUNTED: Final = (
    Metric("wsgw_sessions_opened_total", "counter", "WebSockets that were opened."),
    Metric("wsgw_sessions_closed_total", "counter", "Sessions that ended, by why they did.", ("cause",)),
    Metric(
        "wsgw_connections_refused_total",
        "counter",
        "Connections that became no session, by reason (the option whose limit was hit, draining, handshake"
        " for other faults of the request, no_request, plain_request for one that asked for no upgrade, as"
        " health checks do) and by HTTP status (empty if there was none; over TLS that of a limit is counted,"
        " and not sent).",
        ("reason", "status"),
    ),
    Metric(
        "wsgw_limits_hit_total",
        "counter",
        "Sessions ended and connections refused because of a limit, by the option that sets it.",
        ("limit",),
    ),
    Metric("wsgw_logins_total", "counter", "Logins, as the server answered them.", ("result",)),
    Metric("wsgw_stanzas_total", "counter", "Messages, presences and iqs that passed.", ("direction",)),
    Metric(
        "wsgw_stanzas_repaired_total",
        "counter",
        "Stanzas of the XMPP server of which something was taken out, by reason: namespace (not"
        " namespace-well-formed), depth, names, size, memory.",
        ("reason",),
    ),
    Metric("wsgw_frames_total", "counter", "WebSocket frames.", ("direction",)),
    Metric(
        "wsgw_transferred_bytes_total",
        "counter",
        "Bytes of sessions, handshakes and TLS not included.",
        ("direction",),
    ),
    Metric(
        "wsgw_upstream_connect_failures_total",
        "counter",
        "Attempts to reach the XMPP server for a user that failed.",
        ("upstream",),
    ),
    Metric("wsgw_log_lines_lost_total", "counter", "Lines of the log nobody took in time."),
    Metric(
        "wsgw_upstream_connect_seconds",
        "histogram",
        "Time to reach the XMPP server for a user, STARTTLS and TLS included.",
        ("upstream",),
        _NETWORK,
    ),
    Metric(
        "wsgw_ping_seconds",
        "histogram",
        "Time until a browser that was pinged was heard.",
        (),
        (*_NETWORK, 10.0, 20.0),
    ),
    Metric(
        "wsgw_loop_lag_seconds",
        "histogram",
        "How much later than wanted a worker's loop came round.",
        (),
        _NETWORK,
    ),
)
#: How things stand, read when asked for.
STANDING: Final = (
    Metric(
        "wsgw_sessions",
        "gauge",
        "Sessions, by host and framing (both empty before the stream is opened) and state.",
        ("host", "framing", "state"),
    ),
    Metric("wsgw_sessions_logged_in", "gauge", "Sessions whose login has succeeded."),
    Metric(
        "wsgw_sessions_paused",
        "gauge",
        "Sessions of which one side is not read until the other has caught up.",
    ),
    Metric("wsgw_queued_bytes", "gauge", "Bytes that wait to be taken.", ("towards",)),
    Metric("wsgw_connections", "gauge", "Connections, those still shaking hands included."),
    Metric("wsgw_connections_limit", "gauge", "The largest max_sessions of the listeners."),
    Metric(
        "wsgw_upstream_up",
        "gauge",
        "Whether the last attempt to reach the XMPP server there succeeded; there is none before it.",
        ("upstream",),
    ),
    Metric("wsgw_ready", "gauge", "What /readyz says."),
    Metric("wsgw_workers", "gauge", "Workers that serve."),
    Metric("wsgw_worker_restarts_total", "counter", "Workers that died and were replaced."),
    Metric(
        "wsgw_worker_published_timestamp_seconds",
        "gauge",
        "When a worker last published its figures.",
        ("worker",),
    ),
    Metric("wsgw_worker_resident_memory_bytes", "gauge", "Memory of a worker.", ("worker",)),
    Metric("wsgw_worker_cpu_seconds_total", "counter", "Processor time of a worker.", ("worker",)),
    Metric(
        "wsgw_config_last_reload_successful",
        "gauge",
        "Whether the configuration was in order when it was last read.",
    ),
    Metric("wsgw_config_last_reload_timestamp_seconds", "gauge", "When the configuration was last read."),
    Metric(
        "wsgw_certificate_expiry_timestamp_seconds",
        "gauge",
        "When the certificate of a listener expires.",
        ("certificate",),
    ),
    Metric("wsgw_start_time_seconds", "gauge", "When the gateway was started."),
    Metric("wsgw_build_info", "gauge", "Always 1.", ("version", "python")),
)
METRICS: Final = (*COUNTED, *STANDING)


def causes_table() -> str:
    """The labels of ``wsgw_sessions_closed_total`` as Markdown."""
    rows = ["| cause | the session ended because |", "|---|---|"]
    return "\n".join([*rows, *(f"| `{label}` | {meaning} |" for label, meaning in LABELS.items())])


def table() -> str:
    """All metrics as Markdown."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} |")
    return "\n".join(rows)
