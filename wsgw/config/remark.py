"""A remark about settings that can be used: what an admin should change in them, or in what they name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsgw.config.terms import Mark
from wsgw.errors import ConfigProblem


@dataclass(frozen=True, slots=True)
class Remark:
    """One remark; as text, a sentence with its place in the configuration."""

    #: Names the kind of the remark, for programs: ``certificate.dates``. The same in every release.
    topic: str
    mark: Mark
    #: The words before ``what`` in the sentence: a file, an address, a listener.
    subject: str
    what: str
    #: What to do, in the imperative.
    fix: str
    #: Whether clients cannot log in, or some cannot; otherwise it works, but probably not as intended.
    fatal: bool = True
    #: The PEM file that it is about; None for any other subject.
    path: Path | None = None

    @property
    def reason(self) -> str:
        """The sentence without its place."""
        return f"{self.subject} {self.what}: {self.fix}"

    def __str__(self) -> str:
        return str(ConfigProblem(self.mark.file, self.mark.line, self.reason))
