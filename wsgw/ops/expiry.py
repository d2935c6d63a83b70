"""When certificates expire."""

from __future__ import annotations

from wsgw.config.model import Config
from wsgw.config.pem import PemFiles
from wsgw.net.key_pairs import key_pairs


def expiries(config: Config, files: PemFiles) -> dict[str, float]:
    """When each certificate that wsgw shows to browsers expires, in seconds since the epoch, by file name."""
    found: dict[str, float] = {}
    for listener in config.listeners:
        for pair in key_pairs(listener.certfiles, files):
            certificate = pair.certificate
            if certificate is not None:  # OpenSSL reads some certificates that asn1crypto cannot read
                found[str(pair.path)] = certificate.not_after.timestamp()
    return found
