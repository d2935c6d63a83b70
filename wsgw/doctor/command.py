"""The command ``doctor``: from the arguments to the exit status."""

from __future__ import annotations

import getpass
import os
import ssl
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

import gevent

from wsgw.config import find_config
from wsgw.config.files import SEARCHED
from wsgw.config.network_types import is_web_address
from wsgw.config.pem import PemFiles
from wsgw.config.source import Source
from wsgw.doctor.access import ACCESS
from wsgw.doctor.account import ACCOUNT
from wsgw.doctor.certificates import CERTIFICATES
from wsgw.doctor.client_address import CLIENT_ADDRESS
from wsgw.doctor.clock import CLOCK
from wsgw.doctor.configuration import CONFIGURATION, errors, missing
from wsgw.doctor.domains import DNS
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.host_meta import HOST_META
from wsgw.doctor.idle import IDLE, MAX_IDLE
from wsgw.doctor.inquiry import Account, Check, Inquiry
from wsgw.doctor.limits import LIMITS
from wsgw.doctor.names import is_address
from wsgw.doctor.ports import PORTS
from wsgw.doctor.report import Json, Lines, Report
from wsgw.doctor.tls import verifying
from wsgw.doctor.upstreams import UPSTREAMS
from wsgw.doctor.websocket import WEBSOCKET
from wsgw.errors import ConfigError, ConfigProblem
from wsgw.xmpp.domain import normalise_domain

#: The exit statuses: no check failed, one failed, the question or the configuration cannot be used.
FINE, FAILED, UNUSABLE = 0, 1, 2
PASSWORD = "WSGW_PASSWORD"
#: The port of DNS servers.
_DNS = 53
#: All checks, in their order: from the cause to the consequence.
CHECKS: tuple[Check, ...] = (
    CONFIGURATION,
    CERTIFICATES,
    ACCESS,
    PORTS,
    LIMITS,
    CLOCK,
    UPSTREAMS,
    DNS,
    HOST_META,
    WEBSOCKET,
    CLIENT_ADDRESS,
    ACCOUNT,
    IDLE,
)


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of the command line, as text; None for those that are not given."""

    source: Source
    domain: str | None = None
    url: str | None = None
    origin: str | None = None
    resolver: str | None = None
    cafile: str | None = None
    account: str | None = None
    idle: float = 65.0
    quick: bool = False
    json: bool = False
    #: The limit of the shell, which this process may have raised.
    open_files: int = 0


def doctor(arguments: Arguments) -> int:
    """Run the checks and print what they find; returns the exit status. Raises ConfigError for misuse."""
    report: Report = Json(sys.stdout) if arguments.json else Lines(sys.stdout, os.environ)
    inquiry = _asked(arguments)
    usable = True
    try:
        config = inquiry.source.read()
        domains = inquiry.domains or config.hosts
        inquiry = replace(inquiry, config=config, files=PemFiles.of(config), domains=domains)
    except ConfigError as error:
        reason = _without_configuration(inquiry.source) if inquiry.domains else ""
        usable = bool(reason)
        for finding in missing(reason) if usable else errors(error):
            report.add(finding)
    for finding in examine(inquiry, CHECKS, report.begin):
        report.add(finding)
    report.end()
    if not usable:
        return UNUSABLE
    return FAILED if report.failed else FINE


def examine(
    inquiry: Inquiry, checks: Sequence[Check], begin: Callable[[str], None] = lambda _name: None
) -> Iterator[Finding]:
    """Run ``checks`` one after the other, each within its time; yields the findings as they come.

    ``begin`` gets a line about each check before it runs.
    """
    for check in checks:
        if not (check.waits and inquiry.quick):
            begin(f"{check.name}: {inquiry.idle:g} s, --quick leaves it out" if check.waits else check.name)
            yield from _bounded(check, inquiry)


def _bounded(check: Check, inquiry: Inquiry) -> Iterator[Finding]:
    """The findings of ``check``. A fault in it is a finding too, so that the other checks still run."""
    running = check.run(inquiry)
    ends = monotonic() + check.seconds
    while True:
        timeout = gevent.Timeout(max(0.001, ends - monotonic()))
        try:
            with timeout:
                finding = next(running, None)
        except gevent.Timeout as expired:
            if expired is not timeout:
                raise
            what = f"the check {check.name} was not finished within {check.seconds:g} s"
            finding = Finding(f"{check.name}.time", "doctor", Verdict.FAILED, what, "try it again")
            running = iter(())
        except Exception as fault:
            traceback.print_exc()
            what = f"the check {check.name} itself failed ({type(fault).__name__}): a fault of wsgw"
            finding = Finding(f"{check.name}.fault", "doctor", Verdict.FAILED, what, "report it")
            running = iter(())
        if finding is None:
            return
        yield finding


# The arguments


def _asked(arguments: Arguments) -> Inquiry:
    """The inquiry without its configuration. Raises ConfigError with an argument that cannot be used."""
    domain = None if arguments.domain is None else _domain("DOMAIN", arguments.domain)
    if not 0 < arguments.idle <= MAX_IDLE:
        raise _misuse("--idle", f"{arguments.idle:g} s is not above 0 and up to {MAX_IDLE:g}")
    return Inquiry(
        () if domain is None else (domain,),
        arguments.source,
        url=arguments.url and _url("--url", arguments.url, ("wss", "ws")),
        origin=arguments.origin and _url("--origin", arguments.origin, ("https", "http")),
        resolver=None if arguments.resolver is None else _address(arguments.resolver),
        cafile=None if arguments.cafile is None else _authorities(arguments.cafile),
        account=None if arguments.account is None else _account(arguments.account),
        idle=arguments.idle,
        quick=arguments.quick,
        open_files=arguments.open_files,
    )


def _account(jid: str) -> Account:
    """The account ``jid`` with its password, of the environment or of the terminal."""
    localpart, at, domain = jid.partition("@")
    if not localpart or not at or "/" in domain:
        raise _misuse("--account", f"{jid} is no bare JID: write user@domain")
    domain = _domain("--account", domain)
    password = os.environ.get(PASSWORD)
    if password is None:
        try:
            password = getpass.getpass(f"Password of {jid}: ")
        except EOFError:
            raise _misuse("--account", f"no password: set {PASSWORD}, or run it at a terminal") from None
    return Account(localpart, domain, password)


def _domain(name: str, text: str) -> str:
    try:
        return normalise_domain(text)
    except ValueError as error:
        raise _misuse(name, f"{text}: {error}") from None


def _url(name: str, text: str, schemes: tuple[str, ...]) -> str:
    if not is_web_address(text, schemes):
        raise _misuse(name, f"{text} is no address, as in {schemes[0]}://example.org")
    return text


def _authorities(file: str) -> Path:
    try:
        verifying(Path(file))
    except ssl.SSLError:
        raise _misuse("--cafile", f"{file} has no certificate in PEM") from None
    except OSError as error:
        raise _misuse("--cafile", f"{file}: {error.strerror}") from None
    return Path(file)


def _address(text: str) -> tuple[str, int]:
    """``IP`` or ``IP:PORT``; the default port is that of DNS."""
    host, colon, port = ("", "", "") if is_address(text) else text.rpartition(":")
    try:
        found = (host.strip("[]"), int(port)) if colon else (text, _DNS)
    except ValueError:
        raise _misuse("--resolver", f"{text} is no IP:PORT") from None
    if not is_address(found[0]):
        raise _misuse("--resolver", f"{text} is no IP:PORT")
    return found


def _misuse(name: str, reason: str) -> ConfigError:
    return ConfigError([ConfigProblem(name, 0, reason)])


def _without_configuration(source: Source) -> str:
    """Why it is right that there is no configuration: none was named, and none is in its usual places.

    Empty if there should be one.
    """
    if source.file or source.listen or source.domains or source.upstreams:
        return ""
    try:
        found = find_config(None, os.environ)
    except ConfigError as error:
        return error.problems[0].reason
    # A modern ejabberd would not start with a listener of wsgw in its file.
    return f"{found} is ejabberd's own file" if found == SEARCHED[-1] else ""
