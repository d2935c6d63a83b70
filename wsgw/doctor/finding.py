"""One result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from wsgw.config.remark import Remark


class Verdict(Enum):
    """The values are those of the JSON."""

    OK = "ok"
    #: Clients cannot log in, or some cannot.
    FAILED = "failed"
    #: It works, but probably not as intended.
    NOTE = "note"
    #: Not checked; ``Finding.what`` has the reason.
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found out about one subject. No field ever contains a password."""

    #: Names the question, for programs: ``upstream.starttls``. Stays the same from release to release.
    check: str
    #: A host, an address, a file, a place in the configuration.
    subject: str
    verdict: Verdict
    #: A clause without a full stop, which continues "SUBJECT: ".
    what: str
    #: What the admin can do, in the imperative; empty if the verdict is OK or ``what`` says it.
    fix: str = ""


def finding_of(remark: Remark) -> Finding:
    """A remark as a finding; it fails if clients cannot log in for it."""
    verdict = Verdict.FAILED if remark.fatal else Verdict.NOTE
    return Finding(remark.topic, remark.subject, verdict, remark.what, remark.fix)
