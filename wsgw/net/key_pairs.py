"""The certificates that wsgw shows to browsers: finds their keys, and the names that they are valid for.

A certificate and its key can be in separate files, as certbot writes them. Both contain the public key, which
shows the pairs; where it cannot be read, OpenSSL tries them. ``net.tls`` makes contexts of the pairs.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from wsgw.config.pem import PemFiles, pem_certificates
from wsgw.net.certificate import (
    Certificate,
    PublicPart,
    certificates_in,
    public_part_of_certificate,
    public_part_of_key,
)
from wsgw.net.memory_file import as_file

_PRIVATE_KEY = re.compile(
    rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----((?:(?!-----).)+)-----END \1-----", re.DOTALL
)


class KeyPair(NamedTuple):
    """A certificate with its key."""

    #: The file of the certificate and its chain.
    path: Path
    #: Chain and key as the content of one PEM file.
    pem: bytes

    @property
    def certificate(self) -> Certificate | None:
        """The certificate; None if ``certificates_in`` cannot read it."""
        return next(iter(certificates_in(self.pem)), None)


def key_pairs(paths: Iterable[Path], files: PemFiles) -> tuple[KeyPair, ...]:
    """The certificates in ``paths`` whose key is in the same or in another file of ``paths``, in order.

    Of files that begin with the same certificate (certbot's cert.pem and fullchain.pem) the one with the
    longest chain counts. A file with certificate and key is always a pair, so that its use reports an error.
    Unreadable files are omitted.
    """
    contents = []
    for path in dict.fromkeys(paths):
        try:
            contents.append((path, files.read(path)))
        except OSError:  # ``browser_context`` reports it
            continue
    return _matched(tuple(contents))


@lru_cache(maxsize=8)
def _matched(contents: tuple[tuple[Path, bytes], ...]) -> tuple[KeyPair, ...]:
    keys = {path: key for path, content in contents if (key := _private_key(content)) is not None}
    known = {key.public_part: key for key in keys.values() if key.public_part is not None}
    found: dict[str, tuple[int, KeyPair]] = {}
    for path, content in contents:
        chain = pem_certificates(content)
        if not chain:
            continue
        pem: bytes | None = content
        if path not in keys:
            part = public_part_of_certificate(chain[0])
            key = known.get(part) if part in known else _found_by_trial(path, content, part, keys)
            pem = _together(content, key) if key is not None else None
        leaf = "".join(chain[0].split())
        if pem is not None and (leaf not in found or len(chain) > found[leaf][0]):
            found[leaf] = len(chain), KeyPair(path, pem)
    return tuple(pair for _, pair in found.values())


def has_key(content: bytes) -> bool:
    """Whether a PEM file with this content has a private key."""
    return _private_key(content) is not None


class _Key(NamedTuple):
    """A private key."""

    pem: bytes
    #: None if it cannot be read.
    public_part: PublicPart | None


def _private_key(content: bytes) -> _Key | None:
    found = _PRIVATE_KEY.search(content)
    if found is None:
        return None
    return _Key(found[0], public_part_of_key(found[1].decode("ascii"), found[2]))


def _found_by_trial(
    path: Path, chain: bytes, part: PublicPart | None, keys: Mapping[Path, _Key]
) -> _Key | None:
    """The key of ``chain``, the content of ``path``, whose public key ``part`` is that of no key.

    Keys in the directory of ``path`` are tried first.
    """
    for place in sorted(keys, key=lambda place: place.parent != path.parent):
        if (part is None or keys[place].public_part is None) and _fit(chain, keys[place]):
            return keys[place]
    return None


def _together(chain: bytes, key: _Key) -> bytes:
    return chain + b"\n" + key.pem + b"\n"


def _fit(chain: bytes, key: _Key) -> bool:
    """Whether OpenSSL takes ``chain`` with ``key``."""
    try:
        with as_file(_together(chain, key)) as name:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(name, password="")
    except OSError:
        return False
    return True


def by_name(pairs: Iterable[KeyPair]) -> dict[str, tuple[KeyPair, ...]]:
    """For each name in a certificate, the pairs to show for it: one of each type of key, the first found.

    A name is in lower case, a wildcard is ``*.parent``. A pair for the name itself is preferred to one for
    its wildcard, which serves the clients that do not know the first one's type of key.
    """
    named: dict[str, list[tuple[str, KeyPair]]] = {}
    for pair in pairs:
        certificate = pair.certificate
        if certificate is not None:
            for name in certificate.names:
                named.setdefault(name, []).append((certificate.key_type, pair))
    chosen = {}
    for name, own in named.items():
        of_type: dict[str, KeyPair] = {}
        for key_type, pair in [*own, *named.get(wildcard_of(name), ())]:
            of_type.setdefault(key_type, pair)
        chosen[name] = tuple(of_type.values())
    return chosen


def default_pairs(pairs: Sequence[KeyPair], named: Mapping[str, tuple[KeyPair, ...]]) -> tuple[KeyPair, ...]:
    """The pairs to show for a name that is not in ``named``, which ``by_name`` has made."""
    if not pairs:
        return ()
    return next((group for group in named.values() if pairs[0] in group), (pairs[0],))


def wildcard_of(name: str) -> str:
    """The only wildcard that covers ``name``: of the whole left-most label (RFC 9525 section 6.3)."""
    return "*." + name.partition(".")[2]
