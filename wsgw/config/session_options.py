"""Options of the sessions of a listener: pings, times and limits."""

from __future__ import annotations

from typing import Final

from wsgw.config.option import DAY, KIB, MIB, Computed, Option, Scope, timeout
from wsgw.config.option_types import Count, Rate, Seconds, Shaper

#: Bytes: every server must accept stanzas of this size (RFC 6120 section 13.12).
STANZA_FLOOR: Final = 10_000
DEFAULT_STANZA_SIZE: Final = 262_144

SESSION_OPTIONS: Final[tuple[Option, ...]] = (
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
    timeout(
        "pong_timeout",
        20.0,
        "Time for a client to answer a ping, after it has read all data sent before it.",
        "python websockets: 20",
        True,
    ),
    timeout("tls_handshake_timeout", 10.0, "Time for the TLS handshake.", "python websockets: 10"),
    timeout(
        "handshake_timeout",
        10.0,
        "Time for the PROXY header, and for the whole HTTP request.",
        "python websockets: 10; haproxy's timeout http-request",
    ),
    timeout(
        "open_timeout",
        10.0,
        "Time from the WebSocket upgrade to the client's stream header.",
        "as handshake_timeout",
    ),
    timeout(
        "auth_timeout",
        60.0,
        "Time from the WebSocket upgrade to the end of authentication. It starts again when the XMPP server "
        "answers an `iq` with a `result` before that (a registration form, a CAPTCHA) or asks for another "
        "task of SASL2 (a one-time password), up to five times the value in all.",
        "Prosody's c2s_timeout is 300; ejabberd's negotiation_timeout 120",
        True,
    ),
    timeout(
        "connect_timeout", 5.0, "Time to connect to one XMPP server of the list, including TLS.", "haproxy: 5"
    ),
    timeout(
        "send_timeout",
        15.0,
        "Time in which a peer reads none of the data queued for it, after which wsgw disconnects it.",
        "ejabberd's send_timeout: 15",
    ),
    timeout(
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
)
