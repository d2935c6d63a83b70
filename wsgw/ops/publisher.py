"""Publishes a worker's metrics about once a second: its counters, and its present state.

The counters outlive the worker. The present state is a JSON document in a state file (``state``), which the
parent removes when the worker has ended:

    pid, at                process id; time of the document, in seconds since the epoch
    cpu, memory            of the process: processor time in seconds, resident memory in bytes
    sessions               [[host, framing, state, number of sessions]]
    logged_in, paused      numbers of sessions
    queued                 {browser, upstream}: bytes queued for these peers
    attempts               {address of the XMPP server as configured: {ok, at, error}}
    limits                 {option: {count, at}}: how often its limit was reached, and when last

It also publishes at the end of each interval of ``history``, and adds the worker's figures to the history.

Publishing runs in the event loop and takes one or two microseconds per session; a worker with many sessions
publishes less often.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import resource
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from time import monotonic, process_time, thread_time, time
from typing import Any

import gevent

from wsgw.ops.history import History
from wsgw.ops.instruments import Instruments
from wsgw.ops.metrics_files import state_path
from wsgw.ops.recorder import Recorder
from wsgw.ops.state import StateFile
from wsgw.telemetry.tally import Survey, Tally

log = logging.getLogger(__name__)

#: Seconds between two measurements of the loop's lag, and between two publications at least.
TICK, PERIOD = 0.25, 1.0
#: The share of the processor's time that publishing may take.
SHARE = 0.005
#: A request does not cause a publication within so many seconds after the last one.
FRESH = 0.1
#: Bytes to read of proc(5)'s statm: more than its seven numbers take.
_STATM_SIZE = 256


class Publisher:
    """Publishes the metrics of one worker."""

    def __init__(
        self,
        folder: Path,
        slot: int,
        tally: Tally,
        survey: Callable[[], Survey],
        lost_lines: Callable[[], int],
        history: History,
    ) -> None:
        """``folder``: the metrics directory. ``lost_lines`` returns how many log lines were lost so far."""
        self._folder = folder
        self._slot = slot
        self._tally = tally
        self._survey = survey
        self._lost_lines = lost_lines
        self._recorder = Recorder(history)
        self._instruments: Instruments | None = None
        self._state: StateFile | None = None
        #: Kept open, because metrics matter most when the process has no descriptors left.
        self._statm: FileIO | None = None
        self._timer: Any = None
        self._failing = False
        #: Times of the last and the next publication and of the next tick (monotonic).
        self._last = self._due = self._tick_due = 0.0
        #: By option: ``count``, how often its limit was reached; ``at``, when last (seconds since the epoch).
        self._limits: dict[str, dict[str, float]] = {}

    def start(self) -> None:
        """Publish from now on. Call it after the process has changed to its account, which owns the files.

        If the disk is full, it logs an error and publishes nothing; the gateway works without metrics.
        """
        try:
            self._instruments = Instruments(self._folder, self._slot)
            self._state = StateFile(state_path(self._folder, self._slot))
            self._statm = FileIO("/proc/self/statm")
        except OSError as error:
            log.error(
                "no figures for /metrics and /status: %s: %s", error.filename or self._folder, error.strerror
            )
            return
        self._publish()
        self._tick_due = monotonic() + TICK
        self._timer = gevent.get_hub().loop.timer(TICK, TICK)
        self._timer.start(self._tick)

    def stop(self) -> None:
        """Publish for the last time."""
        if self._timer is None:
            return
        self._timer.stop()
        self._timer.close()
        self._timer = None
        self._publish(last=True)
        if self._state is not None:
            self._state.close()
        if self._statm is not None:
            self._statm.close()

    def refresh(self) -> None:
        """Publish now, unless the last publication is younger than ``FRESH``; for a request of the admin."""
        if self._timer is not None and monotonic() - self._last >= FRESH:
            self._publish()

    def _tick(self) -> None:
        now = monotonic()
        assert self._instruments is not None
        late = max(0.0, now - self._tick_due)
        self._instruments.note_lag(late)
        self._recorder.note_lag(late)
        self._tick_due = now + TICK
        if now >= self._due or self._recorder.is_due:
            self._publish()

    def _publish(self, *, last: bool = False) -> None:
        began, worked = monotonic(), thread_time()
        try:
            self._write(last=last)
            self._failing = False
        except Exception:
            if not self._failing:  # log it once, not every second
                log.exception("figures cannot be published")
            self._failing = True
        self._last = monotonic()
        self._due = began + max(PERIOD, (thread_time() - worked) / SHARE) - TICK / 2

    def _write(self, *, last: bool) -> None:
        assert self._instruments is not None
        assert self._state is not None
        assert self._statm is not None
        survey, tally = self._survey(), self._tally
        self._recorder.note_connects(seconds for _upstream, seconds in tally.connect_times)
        self._instruments.publish(tally, survey, self._lost_lines())
        self._recorder.record(survey, tally, last=last)
        now = time()
        for limit, count in tally.limits_hit.items():
            if self._limits.get(limit, {}).get("count") != count:
                self._limits[limit] = {"count": count, "at": now}
        self._state.publish(
            {
                "pid": os.getpid(),
                "at": now,
                "cpu": process_time(),
                "memory": _resident(self._statm),
                "sessions": [[*group, count] for group, count in survey.groups.items()],
                "logged_in": survey.logged_in,
                "paused": survey.paused,
                "queued": {"browser": survey.queued_to_browsers, "upstream": survey.queued_to_upstreams},
                "attempts": {
                    address: dataclasses.asdict(attempt) for address, attempt in tally.attempts.items()
                },
                "limits": self._limits,
            }
        )


def _resident(statm: FileIO) -> int:
    """The resident memory of this process, in bytes."""
    statm.seek(0)
    return int(statm.read(_STATM_SIZE).split()[1]) * resource.getpagesize()
