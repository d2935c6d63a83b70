"""What all connections of a listener are judged and served by."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from wsgw.config.model import ListenerConfig
from wsgw.config.pem import PemFiles
from wsgw.mod_websocket import SessionSettings, Supervisor
from wsgw.opening.client_address import TrustedProxies
from wsgw.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Entrance:
    """One listener's settings, and what this process serves them with."""

    config: ListenerConfig
    sessions: SessionSettings
    #: For browsers; None on a listener without ``tls``.
    tls: ssl.SSLContext | None
    trusted: TrustedProxies
    upstream: Upstream
    supervisor: Supervisor

    @classmethod
    def of(
        cls,
        config: ListenerConfig,
        tls: ssl.SSLContext | None,
        trusted: TrustedProxies,
        files: PemFiles,
        supervisor: Supervisor,
    ) -> Entrance:
        """``files`` are for the way to the XMPP server. Raises ConfigError if one cannot be used."""
        upstream = Upstream(config, files, supervisor.tally)
        return cls(config, SessionSettings.of(config), tls, trusted, upstream, supervisor)
