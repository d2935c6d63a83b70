"""The lines with which a gateway starts: where it listens, what protects it, and where its status is."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from datetime import datetime, timezone

from wsgw import __version__
from wsgw.config.cross_checks import is_loopback
from wsgw.config.describe import client_urls
from wsgw.config.model import AdminListener, Config, ListenerConfig
from wsgw.config.pem import PemFiles
from wsgw.ops.expiry import expiries

log = logging.getLogger("wsgw.gateway")


def log_start(config: Config, files: PemFiles, functions: object) -> None:
    """Log the warnings about the configuration, then what it makes the gateway do, in a few lines.

    ``files``: the content of its PEM files. ``functions``: those that read stanzas, as a text.
    """
    for warning in config.warnings:
        log.warning("%s", warning)
    certificates = expiries(config, files).files
    for listener in config.listeners:
        if not listener.has_websocket:
            log.info("wsgw %s listens on port %d, without a WebSocket", __version__, listener.port)
            continue
        log.info(
            "wsgw %s listens on %s, upstream %s, hosts %s",
            __version__,
            ", ".join(client_urls(listener, config.hosts)),
            ", ".join(map(str, listener.upstream)),
            ", ".join(config.hosts),
        )
        log.info(
            "port %d: %s; for %s; limits: connections from one address %s, bytes of a stanza %s, "
            "before login %s",
            listener.port,
            _encryption(listener, config, certificates),
            f"web pages of {', '.join(listener.websocket_origin)}"
            if listener.websocket_origin
            else "all web pages",
            _number(listener.max_sessions_per_ip),
            _number(listener.max_stanza_size),
            _number(listener.max_stanza_size_preauth),
        )
    for admin in config.admin_listeners:
        log.info("port %d: status page %s", admin.port, _status_url(admin))
    log.info("reads frames and stanzas with %s", functions)
    log.info("logs lines of level %s and above to %s", config.log_level, _destination(os.environ))


def _encryption(listener: ListenerConfig, config: Config, certificates: Mapping[str, float]) -> str:
    if listener.tls:
        expiring = [at for path in listener.certfiles if (at := certificates.get(str(path))) is not None]
        return f"TLS, certificate valid until {_date(min(expiring))}" if expiring else "TLS"
    if is_loopback(listener.ip):
        return "no TLS, open to this machine only"
    if config.trust_all_proxies or config.trusted_proxies:
        return "no TLS, behind trusted proxies"
    return "no TLS, open to other machines"


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d")


def _number(limit: int) -> str:
    return "none" if limit == sys.maxsize else str(limit)


def _status_url(listener: AdminListener) -> str:
    host = f"[{listener.ip}]" if ":" in listener.ip else listener.ip
    return f"http://{host}:{listener.port}/status"


def _destination(environment: Mapping[str, str]) -> str:
    """The place of the log; systemd sets ``JOURNAL_STREAM`` for a service that logs to the journal."""
    return "the journal (journalctl -u wsgw)" if environment.get("JOURNAL_STREAM") else "standard error"
