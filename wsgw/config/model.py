"""The frozen settings of a gateway: what every source of configuration is read into.

Times are seconds (``math.inf`` for ``infinity``), sizes are bytes (``sys.maxsize`` for
``infinity``). Nothing here reads a file; see ``load`` for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final, Literal

from wsgw.config.terms import Mark

#: What a configuration calls our listeners.
LISTENER_MODULE: Final = "websocket_session"
#: Its names: the older one is that of the module it comes from.
LISTENER_MODULES: Final = (LISTENER_MODULE, "ejabberd_websocket")
ADMIN_MODULE: Final = "wsgw_admin"
UpstreamScheme = Literal["tcp", "starttls", "tls", "unix", "srv"]
IPNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class UpstreamAddress:
    """One way to the XMPP server.

    ``host`` is a name or an address without brackets; for ``unix`` the socket's path, for
    ``srv`` the domain whose SRV records are asked. ``port`` is 0 for ``unix`` and ``srv``.
    """

    scheme: UpstreamScheme
    host: str
    port: int

    def __str__(self) -> str:
        if self.scheme in ("unix", "srv"):
            return f"{self.scheme}:{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RequestHandler:
    """A path prefix, as decoded segments, and the module that answers below it."""

    path: tuple[str, ...]
    module: str


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """One ``websocket_session`` listener; fields carry the option names of the table in ``options``."""

    ip: str
    port: int
    backlog: int
    tls: bool
    certfile: Path | None
    request_handlers: tuple[RequestHandler, ...]
    #: Tried in order.
    upstream: tuple[UpstreamAddress, ...]
    upstream_cafile: Path | None
    upstream_verify: bool
    #: PEM files named by the same configuration; their certificates are trusted as they stand.
    upstream_certfiles: tuple[Path, ...]
    upstream_proxy_protocol: Literal["off", "v1", "v2"]
    use_proxy_protocol: bool
    #: Allowed ``Origin`` values, lower-cased; empty allows any.
    websocket_origin: tuple[str, ...]
    websocket_ping_interval: float
    websocket_timeout: float
    pong_timeout: float
    tls_handshake_timeout: float
    handshake_timeout: float
    open_timeout: float
    auth_timeout: float
    connect_timeout: float
    send_timeout: float
    close_timeout: float
    max_stanza_size: int
    max_stanza_size_preauth: int
    max_header_size: int
    max_depth: int
    max_attributes: int
    max_sessions: int
    max_sessions_per_ip: int
    #: New connections per second and address, and how many may come at once.
    max_connect_rate_per_ip: float
    max_connect_burst_per_ip: int
    send_buffer_high: int
    send_buffer_hard: int
    #: Bytes per second from one browser; None does not limit.
    shaper: int | None
    #: ``@HOST@`` stands for the host the XMPP server names in ``see-other-host``.
    see_other_uri: str | None
    #: How a resumable session ends when the gateway stops.
    drain_resumable: Literal["close", "drop"]

    def serves(self, segments: tuple[str, ...]) -> bool:
        """Whether a request handler's path is a prefix of the decoded ``segments`` of a request's path."""
        for handler in self.request_handlers:  # noqa: SIM110 - any() takes a generator more
            if segments[: len(handler.path)] == handler.path:
                return True
        return False


@dataclass(frozen=True, slots=True)
class AdminListener:
    """One ``wsgw_admin`` listener: plain HTTP for the admin and the admin's programs."""

    ip: str
    port: int
    #: Few ask, and seldom.
    backlog: int = 16


@dataclass(frozen=True, slots=True)
class Traced:
    """Whose sessions are traced: JIDs, bare or full, lower-cased up to the resource; addresses of clients."""

    jids: frozenset[str] = frozenset()
    networks: tuple[IPNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a listener stands, and by name its options that were given, or taken from the server's part."""

    mark: Mark
    options: Mapping[str, Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the settings of a configuration stand."""

    #: One for each of ``Config.all_listeners``, in their order.
    listeners: tuple[Origin, ...] = ()
    #: Options of the whole gateway that were given.
    options: Mapping[str, Mark] = field(default_factory=dict)
    #: The XMPP server's own listener, the upstream where no other is given; None if there is none.
    server: Mark | None = None
    #: The certificate files of the top level and of the XMPP server.
    files: Mapping[Path, Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """A whole gateway."""

    #: Where it was read from; empty when it came from the command line.
    source: str
    #: Domains served, lower-cased A-labels without trailing dot.
    hosts: tuple[str, ...]
    listeners: tuple[ListenerConfig, ...]
    #: Every hop is believed (``{trusted_proxies, all}``).
    trust_all_proxies: bool
    trusted_proxies: tuple[IPNetwork, ...]
    drain_timeout: float
    upgrade_timeout: float
    #: Processes that serve.
    workers: int
    #: The account workers run under if the gateway was started as root; empty for the default.
    user: str
    log_level: str
    log_format: str
    trace: Traced
    #: Warnings to be logged at start, each a whole sentence.
    warnings: tuple[str, ...]
    #: Global PEM files holding both a certificate and its key, for a TLS listener to choose from by name.
    certfiles: tuple[Path, ...] = ()
    admin_listeners: tuple[AdminListener, ...] = ()
    #: No setting: two configurations may say the same in different places.
    origins: Origins = field(default=Origins(), compare=False)

    @property
    def all_listeners(self) -> tuple[ListenerConfig | AdminListener, ...]:
        """Everything that needs a listening socket."""
        return (*self.listeners, *self.admin_listeners)

    @property
    def nowhere(self) -> Mark:
        """The whole configuration, for what stands at no line of it."""
        return Mark(self.source or "command line", 0)

    def origin(self, listener: ListenerConfig | AdminListener) -> Origin:
        """Where ``listener``, one of ``all_listeners``, and its options stand."""
        known = dict(zip(self.all_listeners, self.origins.listeners, strict=False))
        return known.get(listener, Origin(self.nowhere))

    def mark(self, listener: ListenerConfig | AdminListener, *names: str) -> Mark:
        """Where the first of the options ``names`` of ``listener`` was given, or the listener itself."""
        origin = self.origin(listener)
        return next((origin.options[name] for name in names if name in origin.options), origin.mark)
