"""When certificates expire."""

from __future__ import annotations

import contextlib

from wsgw.config.model import Config
from wsgw.config.pem import PemFiles, leaf_certificate
from wsgw.net.certificate import certificate_of


def expiries(config: Config, files: PemFiles) -> dict[str, float]:
    """When each certificate that wsgw shows to browsers expires, in seconds since the epoch, by file name."""
    found: dict[str, float] = {}
    for listener in config.listeners:
        if not listener.tls or listener.certfile is None:
            continue
        certificate = leaf_certificate(listener.certfile, files)
        with contextlib.suppress(ValueError):  # OpenSSL reads some certificates that asn1crypto cannot read
            found[str(listener.certfile)] = certificate_of(certificate or b"").not_after.timestamp()
    return found
