"""The certificates that wsgw shows to browsers: finds their keys, and the names that they are valid for.

A certificate and its key can be in separate files, as certbot writes them. No name says which key belongs to
which certificate, so OpenSSL tries the pairs. ``net.tls`` makes contexts of them.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from wsgw.config.pem import PemFiles, pem_certificates
from wsgw.net.certificate import Certificate, certificates_in
from wsgw.net.memory_file import as_file

_PRIVATE_KEY = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL)


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
    longest chain counts. A file with certificate and key is a pair without a trial, so that its use reports
    an error. Unreadable files are omitted.
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
    found: dict[str, tuple[int, KeyPair]] = {}
    for path, content in contents:
        chain = pem_certificates(content)
        pem = content if path in keys else _with_its_key(path, content, keys)
        if not chain or pem is None:
            continue
        leaf = "".join(chain[0].split())
        if leaf not in found or len(chain) > found[leaf][0]:
            found[leaf] = len(chain), KeyPair(path, pem)
    return tuple(pair for _, pair in found.values())


def _private_key(content: bytes) -> bytes | None:
    key = _PRIVATE_KEY.search(content)
    return key.group() if key else None


def _with_its_key(path: Path, chain: bytes, keys: Mapping[Path, bytes]) -> bytes | None:
    """``chain`` followed by its key; None without one. Keys in the directory of ``path`` come first."""
    if not pem_certificates(chain):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for place in sorted(keys, key=lambda place: place.parent != path.parent):
        pem = chain + b"\n" + keys[place] + b"\n"
        try:
            with as_file(pem) as name:
                context.load_cert_chain(name, password="")
        except OSError:
            continue
        return pem
    return None


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
