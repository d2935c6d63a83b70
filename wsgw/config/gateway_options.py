"""Options of the gateway as a whole: stop and upgrade, processes, logs, hosts, proxies, certificates."""

from __future__ import annotations

import math
from typing import Final

from wsgw.config.model import Traced
from wsgw.config.network_types import Hosts, Networks, TraceTargets
from wsgw.config.option import DAY, Computed, Option, Scope
from wsgw.config.option_types import Account, Choice, Count, FilePath, Seconds

#: From the least severe to the most severe.
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("plain", "json")
#: Worker processes, at most; each has a column in the shared tables.
MAX_WORKERS: Final = 256

GATEWAY_OPTIONS: Final[tuple[Option, ...]] = (
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
