"""The configuration itself: its errors and its warnings."""

from __future__ import annotations

from collections.abc import Iterator

from wsgw.config.model import Config
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Check, Inquiry
from wsgw.errors import ConfigError

_NAME = "configuration"


def errors(error: ConfigError) -> Iterator[Finding]:
    """The findings about a configuration that cannot be used."""
    return findings_of(f"{_NAME}.valid", error)


def findings_of(check: str, error: ConfigError) -> Iterator[Finding]:
    """Each error, with its place in the configuration; it says itself what to do."""
    for problem in error.problems:
        place = f"{problem.file}:{problem.line}" if problem.line else problem.file
        yield Finding(check, place, Verdict.FAILED, problem.reason)


def missing(reason: str) -> Iterator[Finding]:
    """The finding that there is none; the gateway of the domain may run on another machine."""
    what = f"only the outside is checked: {reason}"
    yield Finding(f"{_NAME}.valid", "inside", Verdict.SKIPPED, what, "name a file with --config")


def _check(inquiry: Inquiry) -> Iterator[Finding]:
    config = inquiry.config
    if config is None:
        return
    yield Finding(f"{_NAME}.valid", config.source or "command line", Verdict.OK, _summary(config))
    for warning in config.warnings:
        yield Finding(f"{_NAME}.warning", "configuration", Verdict.NOTE, warning)
    for domain in inquiry.domains:
        if domain not in config.hosts:
            yield Finding(
                f"{_NAME}.host",
                domain,
                Verdict.FAILED,
                f"not one of the hosts of the configuration ({', '.join(config.hosts)})",
                "add it to hosts and reload wsgw, or ask about one of these",
            )


def _summary(config: Config) -> str:
    ports = ", ".join(str(listener.port) for listener in config.listeners)
    return f"valid; hosts {', '.join(config.hosts)}; port {ports}"


CONFIGURATION = Check(_NAME, _check)
