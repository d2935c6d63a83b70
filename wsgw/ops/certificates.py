"""When certificates expire."""

from __future__ import annotations

import contextlib

from wsgw.config.model import Config
from wsgw.config.pem import PemFiles, leaf_certificate
from wsgw.net.certificate import certificate_of


def expiries(config: Config, files: PemFiles) -> dict[str, float]:
    """The end of each certificate that browsers are shown (seconds since the epoch), by its file."""
    found: dict[str, float] = {}
    for listener in config.listeners:
        if not listener.tls or listener.certfile is None:
            continue
        certificate = leaf_certificate(listener.certfile, files)
        with contextlib.suppress(ValueError):  # OpenSSL takes what this library does not
            found[str(listener.certfile)] = certificate_of(certificate or b"").not_after.timestamp()
    return found
