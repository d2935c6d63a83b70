"""The clock of this machine: certificates and SRV records are valid by it."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Check, Inquiry

#: Of adjtimex(2), whose structure is much shorter; ``status`` is the fifth field, ``esterror`` the fourth.
_UNSYNCHRONISED = 0x0040
_SIZE = 512
#: Exists while systemd-timesyncd has synchronised the clock.
_TIMESYNCD = Path("/run/systemd/timesync/synchronized")


def _check(inquiry: Inquiry) -> Iterator[Finding]:
    if inquiry.config is None:
        return
    now, released = time.time(), Path(__file__).stat().st_mtime
    if now < released - 86_400:
        what = f"shows {datetime.fromtimestamp(now, timezone.utc):%Y-%m-%d %H:%M} UTC, before this release"
        fix = "set it: timedatectl set-ntp true"
        yield Finding("clock.time", "clock", Verdict.FAILED, what, fix)
    elif _is_synchronised():
        yield Finding("clock.time", "clock", Verdict.OK, "synchronised")
    else:
        what = "the kernel does not know whether it is right; timedatectl shows whether a service sets it"
        yield Finding("clock.time", "clock", Verdict.SKIPPED, what)


def _is_synchronised() -> bool:
    """Whether a program keeps the clock right; False does not mean that none does."""
    if _TIMESYNCD.exists():
        return True
    timex = ctypes.create_string_buffer(_SIZE)
    if ctypes.CDLL(None).adjtimex(timex) < 0:
        return False
    at = 5 * ctypes.sizeof(ctypes.c_long)
    return not int.from_bytes(timex.raw[at : at + 4], "little") & _UNSYNCHRONISED


CLOCK = Check("clock", _check)
