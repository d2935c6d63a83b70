"""Options of the connection to the XMPP server."""

from __future__ import annotations

from typing import Final

from wsgw.config.network_types import SeeOtherUri, Upstreams
from wsgw.config.option import Computed, Option
from wsgw.config.option_types import Choice, FilePath, Flag

UPSTREAM_OPTIONS: Final[tuple[Option, ...]] = (
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
)
