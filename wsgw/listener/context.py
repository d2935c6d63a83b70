"""The settings and services that all connections of a listener share."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from wsgw.config.model import Config, ListenerConfig
from wsgw.config.pem import PemFiles
from wsgw.listener.pages import pages_of
from wsgw.mod_websocket import SessionSettings, Supervisor
from wsgw.opening.client_address import TrustedProxies
from wsgw.opening.pages import Pages
from wsgw.upstream import Upstream


@dataclass(frozen=True, slots=True)
class ListenerContext:
    """One listener's settings, and the objects with which this process serves its connections."""

    config: ListenerConfig
    sessions: SessionSettings
    #: The TLS context for browsers; None on a listener without ``tls``.
    tls: ssl.SSLContext | None
    #: The proxies whose headers give the client's address.
    trusted: TrustedProxies
    #: The pages next to the WebSocket.
    pages: tuple[Pages, ...]
    upstream: Upstream
    supervisor: Supervisor

    @classmethod
    def of(
        cls,
        config: ListenerConfig,
        gateway: Config,
        tls: ssl.SSLContext | None,
        files: PemFiles,
        supervisor: Supervisor,
    ) -> ListenerContext:
        """Make the context of a listener of ``gateway``. ``files`` are the certificates for the upstream.

        Raises ConfigError if one of them cannot be used.
        """
        trusted = TrustedProxies(gateway.trusted_proxies, trust_all=gateway.trust_all_proxies)
        pages = pages_of(config, gateway)
        upstream = Upstream(config, files, supervisor.tally)
        return cls(config, SessionSettings.of(config), tls, trusted, pages, upstream, supervisor)
