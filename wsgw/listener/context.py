"""The settings and services that all connections of a listener share."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from wsgw.config.model import ListenerConfig
from wsgw.config.pem import PemFiles
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
        tls: ssl.SSLContext | None,
        trusted: TrustedProxies,
        pages: tuple[Pages, ...],
        files: PemFiles,
        supervisor: Supervisor,
    ) -> ListenerContext:
        """Make a listener's context. ``files`` are the certificates for the upstream.

        Raises ConfigError if one of them cannot be used.
        """
        upstream = Upstream(config, files, supervisor.tally)
        return cls(config, SessionSettings.of(config), tls, trusted, pages, upstream, supervisor)
