"""What the doctor was asked, and the form of a check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from wsgw.config.model import Config
from wsgw.config.pem import PemFiles
from wsgw.config.source import Source
from wsgw.doctor.finding import Finding


@dataclass(frozen=True, slots=True)
class Account:
    """An account to log in with."""

    localpart: str
    domain: str
    #: In no message and no finding.
    password: str = field(repr=False)

    @property
    def jid(self) -> str:
        return f"{self.localpart}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What the doctor was asked. A check asks these hosts, the resolver and no other."""

    #: The domains to check from the outside: A-labels in lower case.
    domains: tuple[str, ...]
    #: Where the configuration was read.
    source: Source
    #: None without a configuration, or if it has errors: only the outside is checked.
    config: Config | None = None
    #: The present content of its PEM files.
    files: PemFiles = field(default_factory=PemFiles)
    #: ``ws://`` or ``wss://``: where clients find the WebSocket; None to ask host-meta.
    url: str | None = None
    #: The origin of the web page that opens the WebSocket; None for ``https://`` and the domain.
    origin: str | None = None
    #: The address and port of the DNS server to ask; None for those of the system.
    resolver: tuple[str, int] | None = None
    #: Authorities to trust like the system's, for servers that clients see.
    cafile: Path | None = None
    account: Account | None = None
    #: Seconds that a connection stays quiet in the check for an idle cut.
    idle: float = 65.0
    #: Leave out the checks that wait.
    quick: bool = False
    #: How many files a gateway could open that is started in the same shell; 0 if that is not known.
    open_files: int = 0


class Check(NamedTuple):
    """A check, with a bound on its time."""

    #: The first part of ``Finding.check`` of its findings.
    name: str
    run: Callable[[Inquiry], Iterator[Finding]]
    #: Seconds for the whole check. It should take less by its own timeouts, whose findings say more.
    seconds: float = 60.0
    #: Whether it waits long for something not to happen; ``--quick`` leaves it out.
    waits: bool = False
