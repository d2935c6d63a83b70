"""The answer to ``/metrics``, in Prometheus' text format."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from wsgw.ops.catalogue import STANDING
from wsgw.ops.overview import Overview

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_Samples = Iterable[tuple[tuple[str, ...], float]]


def exposition(overview: Overview, folder: Path) -> bytes:
    """All metrics as text; ``folder`` holds the metrics files of the workers.

    It reads and parses some files per worker. Call it in a native thread, because it blocks.
    """
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    registry.register(_Standing(overview))
    return bytes(generate_latest(registry))


class _Standing(Collector):
    """The metrics of the present state, with the values of an overview."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    def collect(self) -> Iterator[Metric]:
        samples = _samples(self._overview)
        for metric in STANDING:
            family = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(
                metric.name, metric.meaning, labels=metric.labels
            )
            for labels, value in samples[metric.name]:
                family.add_metric(labels, value)
            yield family


def _samples(overview: Overview) -> dict[str, _Samples]:
    parent = overview.parent
    reload = parent.get("last_reload") or {"at": parent.get("started_at", 0.0), "ok": True}
    native = "yes" if parent.get("native", {}).get("in_use") else "no"
    attempts = overview.attempts.items()
    workers = overview.workers.items()
    return {
        "wsgw_sessions": _sessions(overview),
        "wsgw_sessions_logged_in": _one(overview.sum("logged_in")),
        "wsgw_sessions_paused": _one(overview.sum("paused")),
        "wsgw_queued_bytes": [((side,), overview.sum("queued", side)) for side in ("browser", "upstream")],
        "wsgw_connections": _one(overview.connections),
        "wsgw_connections_limit": _one(max(one.max_sessions for one in overview.config.listeners)),
        "wsgw_upstream_up": [((address,), float(made.ok)) for address, made in attempts if made is not None],
        "wsgw_ready": _one(not overview.why_not_ready()),
        "wsgw_workers": _one(sum(not worker["leaving"] for worker in parent.get("workers", ()))),
        "wsgw_worker_restarts_total": _one(parent.get("restarts", 0)),
        "wsgw_native_disabled": _one(sum(one["native_disabled"] for one in parent.get("workers", ()))),
        "wsgw_worker_published_timestamp_seconds": [((str(slot),), one["at"]) for slot, one in workers],
        "wsgw_worker_resident_memory_bytes": [((str(slot),), one["memory"]) for slot, one in workers],
        "wsgw_worker_cpu_seconds_total": [((str(slot),), one["cpu"]) for slot, one in workers],
        "wsgw_config_last_reload_successful": _one(reload["ok"]),
        "wsgw_config_last_reload_timestamp_seconds": _one(reload["at"]),
        "wsgw_certificate_expiry_timestamp_seconds": [
            ((file,), expires) for file, expires in overview.expiries.files.items()
        ],
        "wsgw_certificate_name_expiry_timestamp_seconds": [
            ((name,), shown[0].expires) for name, shown in overview.expiries.names.items()
        ],
        "wsgw_certificates_current": _one(parent.get("certificates_current", True)),
        "wsgw_start_time_seconds": _one(parent.get("started_at", 0.0)),
        "wsgw_build_info": [((parent.get("version", ""), platform.python_version(), native), 1.0)],
    }


def _sessions(overview: Overview) -> _Samples:
    """Sessions by (host, framing, state); a host without sessions has a sample with the value 0."""
    groups = overview.sessions
    for host in overview.config.hosts:
        groups[host, "rfc7395", "loop"] += 0
    return sorted(groups.items())


def _one(value: float) -> _Samples:
    return [((), float(value))]
