"""A worker's counters and histograms, in prometheus-client's files for several processes.

The package names the files by process. wsgw names them by the worker's slot. A worker that replaces a dead
one has the same slot: it continues the counts of the dead one, and the number of files does not grow. No
metric exists before the fork, and the parent makes none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Counter, Histogram, values

from wsgw.errors.causes import LABELS, REPAIRS
from wsgw.errors.refusals import REFUSALS
from wsgw.opening.client_address import SOURCES
from wsgw.ops.catalogue import COUNTED
from wsgw.telemetry.tally import LIMITS_HIT, Passed, Survey, Tally

#: Bytes of a file. They are allocated at the start: writing to a mapped page that the disk has no space for
#: would end the process by SIGBUS.
FILE_SIZE = 1 << 18
_KINDS = {"counter": Counter, "histogram": Histogram}
_BYTES = ("from_browser", "to_browser", "from_upstream", "to_upstream")
#: Known label values, published with 0 from the start: otherwise ``increase()`` would miss the first count.
_KNOWN: dict[str, Iterable[tuple[str, ...]]] = {
    "wsgw_client_addresses_total": [(source,) for source in SOURCES],
    "wsgw_sessions_closed_total": [(cause,) for cause in LABELS],
    "wsgw_connections_refused_total": [
        (refusal.label, str(status or "")) for refusal in REFUSALS for status in refusal.statuses
    ],
    "wsgw_limits_hit_total": [(limit,) for limit in sorted(LIMITS_HIT)],
    "wsgw_logins_total": [("success",), ("failure",)],
    "wsgw_stanzas_total": [("from_client",), ("to_client",)],
    "wsgw_stanzas_repaired_total": [(reason,) for reason in REPAIRS],
    "wsgw_frames_total": [("from_browser",), ("to_browser",)],
    "wsgw_transferred_bytes_total": [(direction,) for direction in _BYTES],
}


class Instruments:
    """The counters and histograms of ``catalogue.COUNTED``; created once in a process, after the fork."""

    def __init__(self, folder: Path, slot: int) -> None:
        """``folder`` is the value of PROMETHEUS_MULTIPROC_DIR. Raises OSError if the disk is full."""
        for kind in _KINDS:
            _reserve(folder / f"{kind}_{slot}.db")
        values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in COUNTED:
            if metric.kind == "counter":
                made = Counter(metric.name, metric.meaning, metric.labels, registry=None)
                self._counters[metric.name] = made
                for labels in _KNOWN.get(metric.name, ()):
                    made.labels(*labels)
            else:
                self._histograms[metric.name] = Histogram(
                    metric.name, metric.meaning, metric.labels, buckets=metric.buckets, registry=None
                )
        self._upstreams: set[str] = set()
        self._published: dict[tuple[str, ...], float] = {}

    def publish(self, tally: Tally, survey: Survey, lost_lines: int) -> None:
        """Add the counts since the last call. Empties the deques of ``tally``.

        ``lost_lines``: lines of the log lost so far.
        """
        self._grow(tally.opened, "wsgw_sessions_opened_total")
        self._grow(lost_lines, "wsgw_log_lines_lost_total")
        for source, count in tally.client_addresses.items():
            self._grow(count, "wsgw_client_addresses_total", source)
        for cause, count in tally.closed.items():
            self._grow(count, "wsgw_sessions_closed_total", cause)
        for (reason, status), count in tally.refused.items():
            self._grow(count, "wsgw_connections_refused_total", reason, str(status or ""))
        for limit, count in tally.limits_hit.items():
            self._grow(count, "wsgw_limits_hit_total", limit)
        for reason, count in tally.stanzas_repaired.items():
            self._grow(count, "wsgw_stanzas_repaired_total", reason)
        self._know_upstreams(tally.upstreams)
        for upstream, count in tally.connect_failures.items():
            self._grow(count, "wsgw_upstream_connect_failures_total", upstream)
        self._publish_passed(survey.passed)
        while tally.connect_times:
            upstream, seconds = tally.connect_times.popleft()
            self._histograms["wsgw_upstream_connect_seconds"].labels(upstream).observe(seconds)
        while tally.ping_times:
            self._histograms["wsgw_ping_seconds"].observe(tally.ping_times.popleft())

    def note_lag(self, seconds: float) -> None:
        """Record that the event loop ran a timer ``seconds`` late."""
        self._histograms["wsgw_loop_lag_seconds"].observe(seconds)

    def _know_upstreams(self, upstreams: set[str]) -> None:
        """Publish 0 for upstreams that a reload has added."""
        for upstream in upstreams - self._upstreams:
            self._counters["wsgw_upstream_connect_failures_total"].labels(upstream)
            self._histograms["wsgw_upstream_connect_seconds"].labels(upstream)
        self._upstreams |= upstreams

    def _publish_passed(self, passed: Passed) -> None:
        for direction in _BYTES:
            count = getattr(passed, f"bytes_{direction}")
            self._grow(count, "wsgw_transferred_bytes_total", direction)
        self._grow(passed.frames_from_browser, "wsgw_frames_total", "from_browser")
        self._grow(passed.frames_to_browser, "wsgw_frames_total", "to_browser")
        self._grow(passed.stanzas_from_client, "wsgw_stanzas_total", "from_client")
        self._grow(passed.stanzas_to_client, "wsgw_stanzas_total", "to_client")
        self._grow(passed.logins, "wsgw_logins_total", "success")
        self._grow(passed.failed_logins, "wsgw_logins_total", "failure")
        self._grow(passed.resumed, "wsgw_sessions_resumed_total")

    def _grow(self, count: float, name: str, *labels: str) -> None:
        """Raise a counter so that this process has added ``count`` to it in all.

        The counter may have begun above 0, with the counts of a worker that this one replaces.
        """
        key = (name, *labels)
        published = self._published.get(key, 0)
        if count > published:
            counter = self._counters[name]
            (counter.labels(*labels) if labels else counter).inc(count - published)
            self._published[key] = count


def _reserve(path: Path) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(file, 0, FILE_SIZE)
    finally:
        os.close(file)
