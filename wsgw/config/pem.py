"""PEM files (RFC 7468): keeps their content, splits it into certificates, checks for certificate and key.

``net.tls`` finds out whether OpenSSL accepts a certificate, and ``net.certificate`` reads the fields of one.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from pathlib import Path

from wsgw.config.files import read_regular, why_unreadable
from wsgw.config.model import Config

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----")
_BEGIN = b"-----BEGIN CERTIFICATE-----"
_KEY = b" KEY-----"
_ENCRYPTED = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")


class PemFiles:
    """The content of the PEM files of a configuration, from the time when the configuration was read.

    The parent reads them for the workers, which may lack the right to read them and must not use newer ones.
    Any other file is read when it is needed.
    """

    def __init__(self, paths: Iterable[Path] = ()) -> None:
        self._contents: dict[Path, bytes | OSError] = {path: _content(path) for path in set(paths)}

    @classmethod
    def of(cls, config: Config) -> PemFiles:
        """Read all PEM files that ``config`` names."""
        named: list[Path | None] = [*config.certfiles]
        for listener in config.listeners:
            named += [*listener.certfiles, listener.upstream_cafile, *listener.upstream_certfiles]
            named += [listener.cafile] if listener.tls_verify else []
        return cls(path for path in named if path is not None)

    def read_again(self) -> PemFiles:
        """The present content of the same files."""
        return PemFiles(self._contents)

    def changed(self, since: PemFiles) -> list[Path]:
        """The files whose content, or whose error, differs from that in ``since``."""
        earlier = since._contents
        return sorted(
            path for path, content in self._contents.items() if not _same(content, earlier.get(path))
        )

    def read(self, path: Path) -> bytes:
        """The content of ``path``. Raises the OSError if it could not be read."""
        content = self._contents.get(path)
        if content is None:
            content = _content(path)
        if isinstance(content, OSError):
            raise content
        return content


def pem_certificates(content: bytes) -> list[str]:
    """The certificates in a PEM file, in order: the base64 between BEGIN and END, unchanged."""
    return _CERTIFICATE.findall(content.decode("ascii", "replace"))


def der_of(certificate: str) -> bytes:
    """The DER of one of ``pem_certificates``. Raises ValueError if it is not base64."""
    return base64.decodebytes(certificate.encode("ascii"))


def leaf_certificate(path: Path, files: PemFiles) -> bytes | None:
    """The DER of the first certificate in the PEM file ``path``; None if it cannot be read or has none."""
    try:
        found = pem_certificates(files.read(path))
        return der_of(found[0]) if found else None
    except (OSError, ValueError):
        return None


def check_certificates(path: Path) -> None:
    """Raise ValueError unless ``path`` is a readable PEM file with a certificate in it."""
    if _BEGIN not in _read(path):
        raise ValueError("holds no PEM certificate")


def check_certificate_and_key(path: Path) -> None:
    """Raise ValueError unless the PEM file ``path`` holds a certificate and its key, not encrypted."""
    check_certificates(path)
    check_key(path)


def check_key(path: Path) -> None:
    """Raise ValueError unless the PEM file ``path`` holds a private key, not encrypted."""
    content = _read(path)
    if _KEY not in content:
        raise ValueError("holds a certificate but no private key")
    if any(sign in content for sign in _ENCRYPTED):
        raise ValueError(f"holds a private key under a passphrase: remove it with openssl pkey -in {path}")


def _read(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise ValueError(why_unreadable(path, error)) from error


def _same(one: bytes | OSError, other: bytes | OSError | None) -> bool:
    if isinstance(one, OSError) and isinstance(other, OSError):
        return one.errno == other.errno
    return one == other


def _content(path: Path) -> bytes | OSError:
    try:
        return read_regular(path)
    except OSError as error:
        return error
