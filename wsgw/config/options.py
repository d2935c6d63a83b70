"""The option table: each row gives the parsing of an option, its line in ``check``, and its documentation.

An option that ejabberd has too has ejabberd's name. A row with a computed default describes it in words;
``server_facts`` and ``interpret`` compute the value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from wsgw.config.model import Traced
from wsgw.config.network_types import (
    Address,
    Hosts,
    Networks,
    RequestHandlers,
    SeeOtherUri,
    TraceTargets,
    Upstreams,
    WebOrigins,
)
from wsgw.config.option_types import Account, Choice, Count, FilePath, Flag, OptionType, Rate, Seconds, Shaper

KIB: Final = 1024
MIB: Final = 1024 * KIB
DAY: Final = 86400
#: Bytes: every server must accept stanzas of this size (RFC 6120 section 13.12).
STANZA_FLOOR: Final = 10_000
DEFAULT_STANZA_SIZE: Final = 262_144
#: From the least severe to the most severe.
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("plain", "json")
#: Worker processes, at most; each has a column in the shared tables.
MAX_WORKERS: Final = 256


class Scope(Enum):
    """Where an option can be given."""

    #: In a ``websocket_session`` listener only.
    LISTENER = "listener"
    #: At the top level for all listeners, or in one listener, which overrides it.
    BOTH = "listener or top level"
    #: At the top level only.
    TOP = "top level"


@dataclass(frozen=True, slots=True)
class Computed:
    """A default that depends on the rest of the configuration or on the machine; ``text`` describes it."""

    text: str


@dataclass(frozen=True, slots=True)
class Option:
    name: str
    type: OptionType
    default: Any
    meaning: str
    #: Programs with the same option, or the reason for the default.
    precedent: str
    scope: Scope = Scope.LISTENER


def _timeout(name: str, default: float, meaning: str, precedent: str, infinity: bool = False) -> Option:
    return Option(name, Seconds(0.1, DAY, infinity), default, meaning, precedent)


OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        "request_handlers",
        RequestHandlers(),
        (),
        "Path prefixes, each with the module that handles requests below it; any other path is 404. A path "
        "is a string or a list of segments. The module is `mod_websocket`, or `ejabberd_websocket`, its "
        "older name, or `mod_host_meta`; any other module is ignored with a warning.",
        "ejabberd",
    ),
    Option(
        "ip",
        Address(),
        Computed("all IPv4 addresses"),
        "The address to listen on: a string or a tuple of numbers.",
        "ejabberd",
    ),
    Option(
        "inet6",
        Flag(),
        False,
        "Without `ip`: listen on all IPv6 addresses, and on IPv4 too if no other listener has the port "
        "there.",
        "ejabberd 2",
    ),
    Option(
        "backlog",
        Count(1, 65535),
        1024,
        "Connections that the system queues until wsgw accepts them.",
        "ejabberd has 5, too few when many clients reconnect; capped by net.core.somaxconn",
    ),
    Option("tls", Flag(), False, "Speak `wss://` instead of `ws://`.", "ejabberd"),
    Option(
        "certfile",
        FilePath(),
        Computed("the certificates of `certfiles`"),
        "The PEM file with certificate, chain and key, for all names.",
        "ejabberd",
    ),
    Option(
        "use_proxy_protocol",
        Flag(),
        False,
        "Every connection starts with a PROXY header, version 1 or 2, that gives the client's address.",
        "ejabberd",
    ),
    Option(
        "websocket_origin",
        WebOrigins(),
        (),
        "Origins of web pages that may connect: `any`, or a list. Other origins get 403. Clients that send "
        "no origin are not browsers and are accepted.",
        "ejabberd; RFC 6455 section 10.2",
        Scope.BOTH,
    ),
    Option(
        "websocket_ping_interval",
        Seconds(1, DAY, infinity=True, zero_is_infinity=True),
        30.0,
        "Time without traffic after which wsgw pings a client. 0 or `infinity`: never.",
        "ejabberd has 60; many proxies disconnect at 60",
        Scope.BOTH,
    ),
    Option(
        "websocket_timeout",
        Seconds(1, DAY, infinity=True),
        300.0,
        "Time without any byte from the client, pongs included, after which wsgw disconnects it.",
        "ejabberd",
        Scope.BOTH,
    ),
    _timeout(
        "pong_timeout",
        20.0,
        "Time for a client to answer a ping, after it has read all data sent before it.",
        "python websockets: 20",
        True,
    ),
    _timeout("tls_handshake_timeout", 10.0, "Time for the TLS handshake.", "python websockets: 10"),
    _timeout(
        "handshake_timeout",
        10.0,
        "Time for the PROXY header, and for the whole HTTP request.",
        "python websockets: 10; haproxy's timeout http-request",
    ),
    _timeout(
        "open_timeout",
        10.0,
        "Time from the WebSocket upgrade to the client's stream header.",
        "as handshake_timeout",
    ),
    _timeout(
        "auth_timeout",
        60.0,
        "Time from the WebSocket upgrade to the end of authentication. It starts again when the XMPP server "
        "answers an `iq` with a `result` before that (a registration form, a CAPTCHA) or asks for another "
        "task of SASL2 (a one-time password), up to five times the value in all.",
        "Prosody's c2s_timeout is 300; ejabberd's negotiation_timeout 120",
        True,
    ),
    _timeout(
        "connect_timeout", 5.0, "Time to connect to one XMPP server of the list, including TLS.", "haproxy: 5"
    ),
    _timeout(
        "send_timeout",
        15.0,
        "Time in which a peer reads none of the data queued for it, after which wsgw disconnects it.",
        "ejabberd's send_timeout: 15",
    ),
    _timeout(
        "close_timeout",
        5.0,
        "Time for the closing handshake, after the client has read all data sent before it.",
        "python websockets: 10; RFC 6455 7.1.1",
    ),
    Option(
        "max_stanza_size",
        Count(STANZA_FLOOR, 1024 * MIB, "bytes", infinity=True),
        Computed(f"that of the first `ejabberd_c2s` listener, otherwise {DEFAULT_STANZA_SIZE}"),
        "The largest stanza a client may send.",
        "ejabberd; RFC 6120 section 13.12",
    ),
    Option(
        "max_stanza_size_preauth",
        Count(STANZA_FLOOR, 1024 * MIB, "bytes"),
        STANZA_FLOOR,
        "The largest stanza a client may send before it has authenticated.",
        "the minimum of RFC 6120 section 13.12",
    ),
    Option(
        "max_header_size",
        Count(KIB, MIB, "bytes"),
        16 * KIB,
        "The largest HTTP request head; a larger one gets 431.",
        "Apache 8 KiB, haproxy 16 KiB, Node.js 16 KiB",
    ),
    Option(
        "max_depth", Count(2, 1000), 100, "Levels of elements within a stanza.", "real stanzas have up to 20"
    ),
    Option(
        "max_attributes", Count(8, 10_000), 256, "Attributes of one element.", "real elements have up to 20"
    ),
    Option(
        "max_sessions",
        Count(1, 10_000_000),
        Computed("workers * (limit of open files - 200) / 2"),
        "Simultaneous connections, including those still in a handshake, over all listeners.",
        "two descriptors each; nginx's worker_connections counts the same",
    ),
    Option(
        "max_sessions_per_ip",
        Count(1, 10_000_000, infinity=True),
        1000,
        "Simultaneous connections from one address; for IPv6 from one /64. Loopback and trusted proxies have "
        "no limit; each client behind them has.",
        "enough for an office behind one address",
    ),
    Option(
        "max_connect_rate_per_ip",
        Rate(),
        (50.0, 200),
        "New connections per second from one address, and the size of a burst: `{50, 200}`; in YAML "
        "`{rate: 50, burst: 200}`. A single number allows bursts of four times the rate.",
        "a token bucket, as in Prosody's mod_limits",
    ),
    Option(
        "shaper",
        Shaper(),
        None,
        "Bytes per second read from one client, or the name of a shaper that the file defines with `shaper`.",
        "ejabberd",
    ),
    Option(
        "send_buffer_high",
        Count(4 * KIB, 64 * MIB, "bytes"),
        64 * KIB,
        "Data queued for one peer above which wsgw stops reading from the other peer.",
        "Node.js 16 KiB, asyncio 64 KiB",
    ),
    Option(
        "send_buffer_hard",
        Count(4 * KIB, 1024 * MIB, "bytes"),
        MIB,
        "Data of a browser that has left, queued for the XMPP server, above which wsgw does not read the "
        "rest. It does not limit the data queued for a browser: `send_buffer_high` and `send_timeout` do.",
        "well above the largest stanza that most servers accept",
    ),
    Option(
        "upstream",
        Upstreams(),
        Computed("the first `ejabberd_c2s` listener"),
        "The XMPP server, or several tried in order: `tcp://HOST:PORT`, `starttls://HOST:PORT`, "
        "`tls://HOST:PORT`, `unix:/PATH`, `srv:DOMAIN`.",
        "the usual name in reverse proxies",
    ),
    Option(
        "upstream_cafile",
        FilePath(),
        None,
        "Authorities trusted for the XMPP server's certificate, in addition to those of the system.",
        "nginx's proxy_ssl_trusted_certificate",
    ),
    Option(
        "upstream_verify",
        Flag(),
        True,
        "Check the XMPP server's certificate. With `false`, wsgw warns at every start.",
        "haproxy's verify",
    ),
    Option(
        "upstream_proxy_protocol",
        Choice(("off", "v1", "v2")),
        Computed("`off`; `v2` if the c2s listener of the default upstream has `use_proxy_protocol`"),
        "Send the client's address in a PROXY header of this version; in `v2` also host name, ID and TLS.",
        "haproxy's send-proxy, send-proxy-v2",
    ),
    Option(
        "see_other_uri",
        SeeOtherUri(),
        None,
        "Redirect for a client when the XMPP server answers `see-other-host`; `@HOST@` is the host in that "
        "answer.",
        "RFC 7395 section 3.6.1",
    ),
    Option(
        "drain_timeout",
        Seconds(0, DAY),
        30.0,
        "Time over which wsgw ends its sessions when it stops. The longest of several values applies.",
        "Kubernetes gives 30",
        Scope.BOTH,
    ),
    Option(
        "drain_resumable",
        Choice(("close", "drop")),
        "close",
        "How wsgw ends sessions that can be resumed (XEP-0198) when it stops: `close` sends a stream error "
        "and Close 1012; `drop` only drops the connection, so the client can resume on another gateway.",
        "XEP-0198 resumes lost sessions, not closed ones",
        Scope.BOTH,
    ),
    Option(
        "upgrade_timeout",
        Seconds(0, 30 * DAY, infinity=True),
        math.inf,
        "Time for which the old processes of an upgrade (SIGUSR2) serve their sessions, before they end them "
        "as at a stop. The longest of several values applies.",
        "nginx's worker_shutdown_timeout",
        Scope.BOTH,
    ),
    Option(
        "workers",
        Count(1, MAX_WORKERS),
        Computed("one per CPU"),
        "Processes that serve sessions. The largest of several values applies.",
        "nginx's worker_processes",
        Scope.BOTH,
    ),
    Option(
        "user",
        Account(),
        Computed("`wsgw` if that account exists, otherwise `nobody`"),
        "The account of the workers if wsgw is started as root; `root` keeps them root.",
        "nginx's user",
        Scope.TOP,
    ),
    Option(
        "log_level",
        Choice(LOG_LEVELS),
        "info",
        "The lowest level that is logged. `--log-level` overrides it. `debug` logs the dialogue of every"
        " session, without content.",
        "wsgw ignores ejabberd's loglevel",
        Scope.TOP,
    ),
    Option(
        "log_format",
        Choice(LOG_FORMATS),
        "plain",
        "The format of a log line: text, or a JSON object. `--log-format` overrides it.",
        "Caddy's and Traefik's log formats",
        Scope.TOP,
    ),
    Option(
        "trace",
        TraceTargets(),
        Traced(),
        "Sessions to trace: wsgw logs each of their stanzas and frames, without content. JIDs (a bare JID "
        "for all its resources), addresses of clients and CIDR networks. A reload (SIGHUP) changes it for "
        "running sessions too.",
        "haproxy's `trace`, also set at runtime",
        Scope.TOP,
    ),
    Option(
        "hosts",
        Hosts(),
        Computed("must be given"),
        "Domains to serve. If any `modules` has `mod_websocket`, only the hosts that have it.",
        "ejabberd",
        Scope.TOP,
    ),
    Option(
        "trusted_proxies",
        Networks(),
        (),
        "Proxies whose `X-Forwarded-For` wsgw believes: `all`, or a list of addresses and networks. It "
        "always believes loopback.",
        "ejabberd",
        Scope.TOP,
    ),
    Option(
        "certfiles",
        FilePath("a list of file names"),
        (),
        "PEM files, with wildcards; `domain_certfile` adds to them. `tls` listeners without a `certfile` "
        "show the certificate for the name that the client asks for, and the first one for other names; its "
        "key may be in another file. wsgw trusts these certificates at the XMPP server without an authority.",
        "ejabberd",
        Scope.TOP,
    ),
)

BY_NAME: Final = {option.name: option for option in OPTIONS}
#: Options of listeners that apply to the whole gateway: the largest given value counts.
GATEWAY_WIDE: Final = ("drain_timeout", "upgrade_timeout", "workers")
#: The options that a ``websocket_session`` listener can have.
LISTENER_NAMES: Final = tuple(option.name for option in OPTIONS if option.scope is not Scope.TOP)
