"""When certificates expire."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final, NamedTuple

from wsgw.config.model import Config
from wsgw.config.pem import PemFiles
from wsgw.net.key_pairs import KeyPair, by_name, default_pairs, key_pairs

#: Stands for all names without a certificate, and for clients that ask for no name.
ANY_NAME: Final = "*"
#: Names at most, those whose certificates expire first: each is a time series of the metrics.
MOST_NAMES: Final = 500


class Shown(NamedTuple):
    """A certificate that wsgw shows to browsers."""

    #: Seconds since the epoch.
    expires: float
    file: str
    #: "rsa", "ec" or another name of the algorithm of its key.
    key_type: str


class Expiries(NamedTuple):
    """When the certificates expire that wsgw shows to browsers."""

    #: In seconds since the epoch, by file.
    files: dict[str, float]
    #: By the name that a client asks for, a wildcard as ``*.parent``; the first to expire comes first, of the
    #: names and of the certificates of one name. A name has several if they have keys of different types, or
    #: if listeners differ.
    names: dict[str, tuple[Shown, ...]]


def expiries(config: Config, files: PemFiles) -> Expiries:
    """When the certificates of the listeners of ``config`` expire; ``files``: their content."""
    of_files: dict[str, float] = {}
    of_names: dict[str, set[Shown]] = {}
    for listener in config.listeners:
        pairs = key_pairs(listener.certfiles, files)
        shown = {pair: one for pair in pairs if (one := _shown(pair)) is not None}
        of_files |= {one.file: one.expires for one in shown.values()}
        named = by_name(pairs)
        for name, group in [*named.items(), (ANY_NAME, default_pairs(pairs, named))]:
            if not _is_address(name):
                of_names.setdefault(name, set()).update(shown[pair] for pair in group if pair in shown)
    in_order = sorted((sorted(group), name) for name, group in of_names.items() if group)
    return Expiries(of_files, {name: tuple(group) for group, name in in_order[:MOST_NAMES]})


def _shown(pair: KeyPair) -> Shown | None:
    certificate = pair.certificate
    if certificate is None:  # OpenSSL reads some certificates that asn1crypto cannot read
        return None
    return Shown(certificate.not_after.timestamp(), str(pair.path), certificate.key_type)


def _is_address(name: str) -> bool:
    """Whether ``name`` is an IP address, for which no client asks (RFC 6066 section 3)."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
