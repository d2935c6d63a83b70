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
    Origins,
    RequestHandlers,
    SeeOtherUri,
    TraceTargets,
    Upstreams,
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
        "Path prefixes and what answers below them; every other path is 404. A path is a string or a list of "
        "segments. The module is `mod_websocket`, or by its older name `ejabberd_websocket`; others are "
        "ignored with a warning.",
        "ejabberd",
    ),
    Option(
        "ip",
        Address(),
        Computed("all IPv4 addresses"),
        "The address to listen on: a string, or a tuple of numbers.",
        "ejabberd",
    ),
    Option(
        "inet6",
        Flag(),
        False,
        "Without `ip`: listen on all IPv6 addresses, and on IPv4 if no other listener has the port there.",
        "ejabberd 2",
    ),
    Option(
        "backlog",
        Count(1, 65535),
        1024,
        "Connections the system holds until they are accepted.",
        "ejabberd has 5, too few for a wave of reconnects; capped by net.core.somaxconn",
    ),
    Option("tls", Flag(), False, "Speak `wss://` instead of `ws://`.", "ejabberd"),
    Option(
        "certfile",
        FilePath(),
        Computed("the first of `certfiles` that holds both"),
        "The PEM file with certificate, chain and key.",
        "ejabberd",
    ),
    Option(
        "use_proxy_protocol",
        Flag(),
        False,
        "Every connection begins with a PROXY header, version 1 or 2, that names the client.",
        "ejabberd",
    ),
    Option(
        "websocket_origin",
        Origins(),
        (),
        "Origins of web pages that may connect, others get 403: `any`, or a list. Clients without an origin "
        "are no browsers, and pass.",
        "ejabberd; RFC 6455 section 10.2",
        Scope.BOTH,
    ),
    Option(
        "websocket_ping_interval",
        Seconds(1, DAY, infinity=True, zero_is_infinity=True),
        30.0,
        "Quiet time after which a client is pinged. 0 or `infinity`: never.",
        "ejabberd has 60; many proxies cut at 60",
        Scope.BOTH,
    ),
    Option(
        "websocket_timeout",
        Seconds(1, DAY, infinity=True),
        300.0,
        "Time without anything from the client, pongs included, after which it is cut.",
        "ejabberd",
        Scope.BOTH,
    ),
    _timeout(
        "pong_timeout",
        20.0,
        "Time a client has to answer a ping, once it has taken what was sent before.",
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
        "open_timeout", 10.0, "Time from the upgrade to the client's stream header.", "as the one before"
    ),
    _timeout(
        "auth_timeout",
        60.0,
        "Time from the upgrade to the end of authentication. It begins anew when the server answers an `iq` "
        "with a `result` before that (a registration form, a CAPTCHA), up to five times as long in all.",
        "Prosody's c2s_timeout is 300; ejabberd's negotiation_timeout 120",
        True,
    ),
    _timeout(
        "connect_timeout", 5.0, "Time to connect to one XMPP server of the list, TLS included.", "haproxy: 5"
    ),
    _timeout(
        "send_timeout",
        15.0,
        "Time in which a peer takes nothing of the data that waits for it, after which it is cut.",
        "ejabberd's send_timeout: 15",
    ),
    _timeout(
        "close_timeout",
        5.0,
        "Time for the closing handshake, once the client has taken what was sent before.",
        "python websockets: 10; RFC 6455 7.1.1",
    ),
    Option(
        "max_stanza_size",
        Count(STANZA_FLOOR, 1024 * MIB, "bytes", infinity=True),
        Computed(f"that of the first `ejabberd_c2s` listener, else {DEFAULT_STANZA_SIZE}"),
        "The largest stanza a client may send.",
        "ejabberd; RFC 6120 section 13.12",
    ),
    Option(
        "max_stanza_size_preauth",
        Count(STANZA_FLOOR, 1024 * MIB, "bytes"),
        STANZA_FLOOR,
        "The same before the client has authenticated.",
        "the least RFC 6120 section 13.12 allows",
    ),
    Option(
        "max_header_size",
        Count(KIB, MIB, "bytes"),
        16 * KIB,
        "The largest HTTP request head; more is answered 431.",
        "Apache 8 KiB, haproxy 16 KiB, Node.js 16 KiB",
    ),
    Option("max_depth", Count(2, 1000), 100, "Levels of elements within a stanza.", "none has more than 20"),
    Option("max_attributes", Count(8, 10_000), 256, "Attributes of one element.", "none has more than 20"),
    Option(
        "max_sessions",
        Count(1, 10_000_000),
        Computed("workers * (limit of open files - 200) / 2"),
        "Connections at one time, those still shaking hands included, of all listeners together.",
        "two descriptors each; nginx's worker_connections counts the same",
    ),
    Option(
        "max_sessions_per_ip",
        Count(1, 10_000_000, infinity=True),
        1000,
        "Connections at one time from one address, of IPv6 from one /64. Loopback and trusted proxies are "
        "spared; the clients behind them are counted.",
        "an office behind one address fits in",
    ),
    Option(
        "max_connect_rate_per_ip",
        Rate(),
        (50.0, 200),
        "New connections a second from one address, and how many may come at once: `{50, 200}`; in YAML "
        "`{rate: 50, burst: 200}`. A number alone allows four times itself at once.",
        "a token bucket, as in Prosody's mod_limits",
    ),
    Option(
        "shaper",
        Shaper(),
        None,
        "Bytes a second taken from one client, or the name of a shaper defined by `shaper`.",
        "ejabberd",
    ),
    Option(
        "send_buffer_high",
        Count(4 * KIB, 64 * MIB, "bytes"),
        64 * KIB,
        "Data waiting for one peer above which the other side is not read.",
        "Node.js 16 KiB, asyncio 64 KiB",
    ),
    Option(
        "send_buffer_hard",
        Count(4 * KIB, 1024 * MIB, "bytes"),
        MIB,
        "Data of a browser that has left, waiting for the server, above which the rest is not read. It does "
        "not count what waits for a browser: `send_buffer_high` bounds that, `send_timeout` ends it.",
        "well above the largest stanza most servers take",
    ),
    Option(
        "upstream",
        Upstreams(),
        Computed("the first `ejabberd_c2s` listener"),
        "The XMPP server, or several tried in order: `tcp://HOST:PORT`, `starttls://HOST:PORT`, "
        "`tls://HOST:PORT`, `unix:/PATH`, `srv:DOMAIN`.",
        "named after what every reverse proxy has",
    ),
    Option(
        "upstream_cafile",
        FilePath(),
        None,
        "Authorities trusted for the server's certificate, beside those of the system.",
        "nginx's proxy_ssl_trusted_certificate",
    ),
    Option(
        "upstream_verify",
        Flag(),
        True,
        "Check the server's certificate. `false` warns at every start.",
        "haproxy's verify",
    ),
    Option(
        "upstream_proxy_protocol",
        Choice(("off", "v1", "v2")),
        Computed("`off`; `v2` if the listener that is the default upstream has `use_proxy_protocol`"),
        "Tell the server the client's address with a PROXY header of this version.",
        "haproxy's send-proxy, send-proxy-v2",
    ),
    Option(
        "see_other_uri",
        SeeOtherUri(),
        None,
        "Where to send a client whose server says `see-other-host`; `@HOST@` is the host it names.",
        "RFC 7395 section 3.6.1",
    ),
    Option(
        "drain_timeout",
        Seconds(0, DAY),
        30.0,
        "When the gateway stops: the time over which it ends its sessions. Of several, the longest counts.",
        "Kubernetes gives 30",
        Scope.BOTH,
    ),
    Option(
        "drain_resumable",
        Choice(("close", "drop")),
        "close",
        "When the gateway stops, for sessions that can be resumed (XEP-0198): `close` says so with a stream "
        "error and Close 1012; `drop` just loses the connection, so that the client resumes elsewhere.",
        "XEP-0198 resumes what was lost, not what was closed",
        Scope.BOTH,
    ),
    Option(
        "upgrade_timeout",
        Seconds(0, 30 * DAY, infinity=True),
        math.inf,
        "After an upgrade (SIGUSR2): how long the old processes keep serving the sessions they have, before "
        "they end them as when the gateway stops. Of several, the longest counts.",
        "nginx's worker_shutdown_timeout",
        Scope.BOTH,
    ),
    Option(
        "workers",
        Count(1, MAX_WORKERS),
        Computed("one per CPU"),
        "Processes that serve. Of several, the largest counts.",
        "nginx's worker_processes",
        Scope.BOTH,
    ),
    Option(
        "user",
        Account(),
        Computed("`wsgw` if there is such an account, else `nobody`"),
        "The account the workers run under if the gateway is started as root; `root` stays root.",
        "nginx's user",
        Scope.TOP,
    ),
    Option(
        "log_level",
        Choice(LOG_LEVELS),
        "info",
        "What is logged: this and what is graver. `--log-level` comes first.",
        "ejabberd's loglevel is left to ejabberd",
        Scope.TOP,
    ),
    Option(
        "log_format",
        Choice(LOG_FORMATS),
        "plain",
        "How a line of the log looks: text, or a JSON object. `--log-format` comes first.",
        "Caddy's and Traefik's log formats",
        Scope.TOP,
    ),
    Option(
        "trace",
        TraceTargets(),
        Traced(),
        "Sessions of which every stanza and frame is logged, without its content: JIDs (bare ones for all "
        "their resources), addresses of clients and CIDR networks. A reload (SIGHUP) changes it for running "
        "sessions too.",
        "haproxy's `trace`, which is told at runtime too",
        Scope.TOP,
    ),
    Option(
        "hosts",
        Hosts(),
        Computed("must be given"),
        "Domains served. If `mod_websocket` stands in any `modules`, only those that have it.",
        "ejabberd",
        Scope.TOP,
    ),
    Option(
        "trusted_proxies",
        Networks(),
        (),
        "Proxies whose `X-Forwarded-For` is believed: `all`, or a list of addresses and networks. Loopback "
        "always is.",
        "ejabberd",
        Scope.TOP,
    ),
    Option(
        "certfiles",
        FilePath("a list of file names"),
        (),
        "PEM files, with wildcards; also `domain_certfile`. They serve listeners without a `certfile`, and "
        "certificates in them are trusted at the XMPP server as they stand.",
        "ejabberd",
        Scope.TOP,
    ),
)

BY_NAME: Final = {option.name: option for option in OPTIONS}
#: Options of listeners that apply to the whole gateway: the largest given value counts.
GATEWAY_WIDE: Final = ("drain_timeout", "upgrade_timeout", "workers")
#: The options that a ``websocket_session`` listener can have.
LISTENER_NAMES: Final = tuple(option.name for option in OPTIONS if option.scope is not Scope.TOP)
