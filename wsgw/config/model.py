"""The frozen settings of a gateway, the same from a file and from the command line.

Times are seconds (``math.inf`` for ``infinity``), sizes are bytes (``sys.maxsize`` for
``infinity``). Nothing here reads a file; ``load`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from wsgw.config.terms import Mark
from wsgw.xmpp.domain import is_domain

#: The module name of a listener for browsers.
LISTENER_MODULE: Final = "websocket_session"
#: All names of that module; the second is the older one.
LISTENER_MODULES: Final = (LISTENER_MODULE, "ejabberd_websocket")
ADMIN_MODULE: Final = "wsgw_admin"
#: The module of WebSockets in ``request_handlers``.
HANDLER: Final = "mod_websocket"
#: All its names; the second is the older one.
HANDLER_NAMES: Final = (HANDLER, "ejabberd_websocket")
#: The module of host-meta (XEP-0156) in ``request_handlers``.
HOST_META: Final = "mod_host_meta"
#: The module of the console in ``request_handlers``.
CONSOLE: Final = "wsgw_console"
#: All modules that wsgw serves in ``request_handlers``.
OWN_HANDLERS: Final = (HANDLER, HOST_META, CONSOLE)
UpstreamScheme = Literal["tcp", "starttls", "tls", "unix", "srv"]
IPNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class UpstreamAddress:
    """One address of the XMPP server.

    ``host`` is a name or an IP address without brackets; for ``unix`` the path of the socket, for
    ``srv`` the domain of the SRV records. ``port`` is 0 for ``unix`` and ``srv``.
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
    """A path prefix as decoded segments, and the module that answers requests below it."""

    path: tuple[str, ...]
    module: str


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """One ``websocket_session`` listener; the fields have the names of the options in ``options``."""

    ip: str
    port: int
    backlog: int
    tls: bool
    certfile: Path | None
    #: The PEM files with certificates and keys for browsers: the ``certfile``, or the global ``certfiles``;
    #: empty without ``tls``.
    certfiles: tuple[Path, ...]
    #: Names of OpenSSL's options, see ``tls_types``.
    protocol_options: tuple[str, ...]
    #: A list of ciphers in OpenSSL's form; None for the system's.
    ciphers: str | None
    #: Whether clients must show a certificate of an authority in ``cafile``.
    tls_verify: bool
    cafile: Path | None
    request_handlers: tuple[RequestHandler, ...]
    #: Tried in order; empty if the listener serves pages only.
    upstream: tuple[UpstreamAddress, ...]
    upstream_cafile: Path | None
    upstream_verify: bool
    #: PEM files of the same configuration; the server may present any certificate in them.
    upstream_certfiles: tuple[Path, ...]
    upstream_proxy_protocol: Literal["off", "v1", "v2"]
    #: The directory of the answers to a certificate authority; None with ``tls``.
    acme_challenge_dir: Path | None
    use_proxy_protocol: bool
    #: Allowed values of ``Origin``, in lower case; empty allows any.
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
    #: New connections a second from one address, and new connections at once.
    max_connect_rate_per_ip: float
    max_connect_burst_per_ip: int
    send_buffer_high: int
    send_buffer_hard: int
    #: Bytes a second from one browser; None means no limit.
    shaper: int | None
    #: ``@HOST@`` in it is replaced by the host in the XMPP server's ``see-other-host``.
    see_other_uri: str | None
    #: How a resumable session ends when the gateway stops.
    drain_resumable: Literal["close", "drop"]

    def serves(self, segments: tuple[str, ...]) -> bool:
        """Whether the path of a request, as decoded ``segments``, begins with one of the WebSocket's."""
        for handler in self.request_handlers:
            if segments[: len(handler.path)] == handler.path and handler.module == HANDLER:
                return True
        return False

    @property
    def has_websocket(self) -> bool:
        """Whether the listener serves a WebSocket."""
        return any(handler.module == HANDLER for handler in self.request_handlers)

    def paths_of(self, module: str) -> list[str]:
        """The paths of the request handlers with this module, each as ``/a/b``, for people."""
        return ["/" + "/".join(handler.path) for handler in self.request_handlers if handler.module == module]

    def url_paths(self, module: str) -> list[str]:
        """The same paths as in a URL, percent-encoded."""
        return [quote(path) for path in self.paths_of(module)]  # no segment contains a slash


@dataclass(frozen=True, slots=True)
class HostAddresses:
    """The URLs that host-meta names for clients of ``host`` (XEP-0156); None for a transport without one."""

    host: str
    websocket: str | None
    bosh: str | None


@dataclass(frozen=True, slots=True)
class AdminListener:
    """One ``wsgw_admin`` listener: plain HTTP for operators and their monitoring."""

    ip: str
    port: int
    #: ``probes``: only the paths that programs ask for.
    serve: Literal["all", "probes"] = "all"
    #: The secret for the pages about sessions; None if the listener has no such pages.
    token: str | None = field(default=None, repr=False)
    #: Names, in addition to ``localhost``, that a request may have as its host: A-labels in lower case.
    allowed_hosts: tuple[str, ...] = ()
    #: Few programs connect, and seldom.
    backlog: int = 16


@dataclass(frozen=True, slots=True)
class Traced:
    """The sessions to trace.

    ``jids``: bare or full JIDs, in lower case up to the resource. ``networks``: networks of client addresses.
    """

    jids: frozenset[str] = frozenset()
    networks: tuple[IPNetwork, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of a listener, and of each option that it gives or takes from the XMPP server's part."""

    mark: Mark
    options: Mapping[str, Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Origins:
    """The places of the settings in the files of a configuration."""

    listeners: Mapping[ListenerConfig | AdminListener, Origin] = field(default_factory=dict)
    #: The given options that apply to the whole gateway.
    options: Mapping[str, Mark] = field(default_factory=dict)
    #: The XMPP server's own listener, which is the default upstream; None without such a listener.
    server: Mark | None = None
    #: The certificate files of the top level and of the XMPP server.
    files: Mapping[Path, Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of a whole gateway."""

    #: The main file; empty for settings from the command line.
    source: str
    #: The served domains: A-labels in lower case, without a trailing dot.
    hosts: tuple[str, ...]
    listeners: tuple[ListenerConfig, ...]
    #: Whether every proxy is trusted (``{trusted_proxies, all}``).
    trust_all_proxies: bool
    trusted_proxies: tuple[IPNetwork, ...]
    drain_timeout: float
    upgrade_timeout: float
    #: The number of worker processes.
    workers: int
    #: The account of the workers if the gateway is started as root; empty for the default.
    user: str
    log_level: str
    log_format: str
    trace: Traced
    #: Warnings to log at the start, each a whole sentence.
    warnings: tuple[str, ...]
    #: Global PEM files with certificates or keys, for listeners without a ``certfile``.
    certfiles: tuple[Path, ...] = ()
    admin_listeners: tuple[AdminListener, ...] = ()
    #: One for each host that has host-meta.
    host_meta: tuple[HostAddresses, ...] = ()
    #: JID → password of the demo's accounts, which the console shows to every visitor.
    demo_accounts: Mapping[str, str] = field(default_factory=dict)
    #: Not compared: two configurations can have the same settings in different places.
    origins: Origins = field(default=Origins(), compare=False)

    @property
    def all_listeners(self) -> tuple[ListenerConfig | AdminListener, ...]:
        """The listeners of both types: all that need a listening socket."""
        return (*self.listeners, *self.admin_listeners)

    def host_meta_of(self, domain: str) -> HostAddresses | None:
        """The addresses of the host ``domain``, in any spelling; None if it has no host-meta."""
        return next((one for one in self.host_meta if is_domain(domain, one.host)), None)

    @property
    def nowhere(self) -> Mark:
        """The place of messages that concern no single line."""
        return Mark(self.source or "command line", 0)

    def origin(self, listener: ListenerConfig | AdminListener) -> Origin:
        """The places of ``listener``, one of ``all_listeners``, and of its options."""
        return self.origins.listeners.get(listener, Origin(self.nowhere))

    def mark(self, listener: ListenerConfig | AdminListener, *names: str) -> Mark:
        """The place of the first given option of ``names`` in ``listener``, or that of the listener."""
        origin = self.origin(listener)
        return next((origin.options[name] for name in names if name in origin.options), origin.mark)

    def certificate_mark(self, listener: ListenerConfig, path: Path) -> Mark:
        """The place that names ``path``, one of the ``certfiles`` of ``listener``."""
        mark = self.mark(listener, "certfile", "tls")
        return mark if listener.certfile is not None else self.origins.files.get(path, mark)
