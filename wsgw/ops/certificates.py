"""When certificates expire."""

from __future__ import annotations

import contextlib

from asn1crypto import x509

from wsgw.config.model import Config
from wsgw.tls import PemFiles, leaf_certificate


def expiries(config: Config, files: PemFiles) -> dict[str, float]:
    """The end of each certificate that browsers are shown (seconds since the epoch), by its file."""
    found: dict[str, float] = {}
    for listener in config.listeners:
        if not listener.tls or listener.certfile is None:
            continue
        certificate = leaf_certificate(listener.certfile, files)
        with contextlib.suppress(ValueError):  # OpenSSL takes what this library does not
            validity = x509.Certificate.load(certificate or b"")["tbs_certificate"]["validity"]
            found[str(listener.certfile)] = validity["not_after"].native.timestamp()
    return found
