"""Every metric: its name, its kind, its labels and its meaning.

``docs/metrics.md`` shows this table and the table of causes. Names and units follow Prometheus'
conventions. The values of every label come from a fixed set or from the configuration, never from a peer.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

MetricKind = Literal["counter", "gauge", "histogram"]


class Metric(NamedTuple):
    """One metric; ``meaning`` is its help text in ``/metrics`` and in the documentation."""

    name: str
    kind: MetricKind
    meaning: str
    labels: tuple[str, ...] = ()
    #: Upper bounds of a histogram's buckets, in the metric's unit.
    buckets: tuple[float, ...] = ()


_NETWORK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

#: Each worker counts these; the values survive the death of the worker.
COUNTED: Final = (
    Metric("wsgw_sessions_opened_total", "counter", "WebSockets opened."),
    Metric(
        "wsgw_client_addresses_total",
        "counter",
        "WebSockets opened, by the source of the client's address: peer (the connection or the PROXY header),"
        " forwarded (X-Forwarded-For or Forwarded of a trusted proxy), untrusted (a proxy that is not in"
        " trusted_proxies sends such a header), missing (a trusted proxy sends none).",
        ("source",),
    ),
    Metric("wsgw_sessions_closed_total", "counter", "Sessions that ended, by cause.", ("cause",)),
    Metric(
        "wsgw_connections_refused_total",
        "counter",
        "Connections refused before a session, by reason and HTTP status. The reason is the option whose"
        " limit was reached, draining, plain_request (no WebSocket upgrade in the request, as in health"
        " checks), host_meta (a request for the page of XEP-0156, answered or not), acme_challenge (a request"
        " of a certificate authority, answered or not), console (a request for a file of the console),"
        " no_request, tls_verify (no valid certificate of the client), or handshake (any other error of the"
        " request). The status is empty if there was no answer; for a limit over TLS it is counted but not"
        " sent.",
        ("reason", "status"),
    ),
    Metric(
        "wsgw_limits_hit_total",
        "counter",
        "Sessions ended and connections refused because of a limit, by the option that sets the limit.",
        ("limit",),
    ),
    Metric("wsgw_logins_total", "counter", "Logins, by the XMPP server's answer.", ("result",)),
    Metric("wsgw_sessions_resumed_total", "counter", "Sessions that continue an earlier one (XEP-0198)."),
    Metric("wsgw_stanzas_total", "counter", "Messages, presences and iqs forwarded.", ("direction",)),
    Metric(
        "wsgw_stanzas_repaired_total",
        "counter",
        "Stanzas of the XMPP server from which a part was removed, by reason: namespace (not"
        " namespace-well-formed), depth, names, size, memory.",
        ("reason",),
    ),
    Metric("wsgw_frames_total", "counter", "WebSocket frames.", ("direction",)),
    Metric(
        "wsgw_transferred_bytes_total",
        "counter",
        "Bytes of sessions, without handshakes and TLS.",
        ("direction",),
    ),
    Metric(
        "wsgw_upstream_connect_failures_total",
        "counter",
        "Failed attempts to connect a user to the XMPP server.",
        ("upstream",),
    ),
    Metric("wsgw_log_lines_lost_total", "counter", "Log lines dropped because writing them took too long."),
    Metric(
        "wsgw_upstream_connect_seconds",
        "histogram",
        "Time to connect a user to the XMPP server, including STARTTLS and TLS.",
        ("upstream",),
        _NETWORK,
    ),
    Metric(
        "wsgw_ping_seconds",
        "histogram",
        "Time from a ping to the next bytes from the browser.",
        (),
        (*_NETWORK, 10.0, 20.0),
    ),
    Metric(
        "wsgw_loop_lag_seconds",
        "histogram",
        "Delay of a worker's event loop behind its schedule.",
        (),
        _NETWORK,
    ),
)
#: These show the present state, which is read at each request of ``/metrics``.
STANDING: Final = (
    Metric(
        "wsgw_sessions",
        "gauge",
        "Sessions, by host, framing (both empty until the stream is opened) and state.",
        ("host", "framing", "state"),
    ),
    Metric("wsgw_sessions_logged_in", "gauge", "Sessions whose login has succeeded."),
    Metric(
        "wsgw_sessions_paused",
        "gauge",
        "Sessions with one side that is not read until the other side catches up.",
    ),
    Metric("wsgw_queued_bytes", "gauge", "Bytes queued for a peer.", ("towards",)),
    Metric("wsgw_connections", "gauge", "Connections, including those still in a handshake."),
    Metric("wsgw_connections_limit", "gauge", "The largest max_sessions of the listeners."),
    Metric(
        "wsgw_upstream_up",
        "gauge",
        "Whether the last attempt to connect to this XMPP server succeeded; absent before the first.",
        ("upstream",),
    ),
    Metric("wsgw_ready", "gauge", "1 if /readyz answers 200, otherwise 0."),
    Metric("wsgw_workers", "gauge", "Workers that serve sessions."),
    Metric("wsgw_worker_restarts_total", "counter", "Workers that died and were replaced."),
    Metric(
        "wsgw_native_disabled",
        "gauge",
        "Workers that use no native functions because the previous worker crashed with them.",
    ),
    Metric(
        "wsgw_worker_published_timestamp_seconds",
        "gauge",
        "Time at which a worker last published its metrics.",
        ("worker",),
    ),
    Metric("wsgw_worker_resident_memory_bytes", "gauge", "Resident memory of a worker.", ("worker",)),
    Metric("wsgw_worker_cpu_seconds_total", "counter", "Processor time of a worker.", ("worker",)),
    Metric(
        "wsgw_config_last_reload_successful",
        "gauge",
        "Whether the configuration was valid when it was last read.",
    ),
    Metric(
        "wsgw_config_last_reload_timestamp_seconds", "gauge", "Time of the last reading of the configuration."
    ),
    Metric(
        "wsgw_certificate_expiry_timestamp_seconds",
        "gauge",
        "Time at which the certificate of a listener expires.",
        ("certificate",),
    ),
    Metric(
        "wsgw_certificate_name_expiry_timestamp_seconds",
        "gauge",
        "Time at which the certificate expires that clients get for a name, the earliest if there are"
        " several; * stands for any other name and for none. The 500 names that expire first.",
        ("name",),
    ),
    Metric(
        "wsgw_certificates_current",
        "gauge",
        "Whether the PEM files on the disk are in use; 0 if they have changed and cannot be used.",
    ),
    Metric("wsgw_start_time_seconds", "gauge", "Time at which the gateway was started."),
    Metric(
        "wsgw_build_info",
        "gauge",
        "Always 1. native: whether workers use the native functions (yes, no).",
        ("version", "python", "native"),
    ),
)
METRICS: Final = (*COUNTED, *STANDING)
