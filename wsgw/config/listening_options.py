"""Options of a port: addresses, handlers, TLS, and the pages that may connect."""

from __future__ import annotations

from typing import Final

from wsgw.config.network_types import Address, RequestHandlers, WebOrigins
from wsgw.config.option import Computed, Option, Scope
from wsgw.config.option_types import Count, FilePath, Flag
from wsgw.config.tls_types import Ciphers, ProtocolOptions

LISTENING_OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        "request_handlers",
        RequestHandlers(),
        (),
        "Path prefixes, each with the module that handles requests below it; any other path is 404. A path "
        "is a string or a list of segments. The module is `mod_websocket`, or `ejabberd_websocket`, its "
        "older name, `mod_host_meta`, or `wsgw_console`; any other module is ignored with a warning.",
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
        "protocol_options",
        ProtocolOptions(),
        (),
        "Restricts TLS by OpenSSL's options: `no_tlsv1_2` leaves TLS 1.3 only, `no_tlsv1_3` TLS 1.2 only, "
        "`no_ticket` issues no session tickets. Those that only confirm what wsgw does anyway "
        "(`no_sslv3`, `no_tlsv1_1`, `no_compression`, ...) are accepted.",
        "ejabberd",
    ),
    Option(
        "ciphers",
        Ciphers(),
        Computed("the system's"),
        "The ciphers of TLS 1.2, as `openssl ciphers` reads them; never any without encryption or "
        "authentication. Those of TLS 1.3 are always OpenSSL's.",
        "ejabberd",
    ),
    Option(
        "tls_verify",
        Flag(),
        False,
        "Clients must show a certificate of an authority in `cafile`, otherwise their TLS handshake fails. "
        "The listener has TLS 1.3 only, and no TLS session is resumed.",
        "ejabberd; nginx's ssl_verify_client",
    ),
    Option(
        "cafile",
        FilePath(),
        None,
        "The PEM file with the authorities of the clients' certificates, for `tls_verify`.",
        "ejabberd, which falls back on the system's authorities",
    ),
    Option(
        "acme_challenge_dir",
        FilePath("a directory"),
        None,
        "The directory of the files that a certificate authority requests at "
        "`/.well-known/acme-challenge/TOKEN` (HTTP-01). Each is directly in it, with the token as its name. "
        "Served without `tls`, for any host. See [certificates.md](certificates.md).",
        "RFC 8555 section 8.3",
        Scope.BOTH,
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
)
