"""PEM files are split into certificates, and must hold a certificate and its key."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from tests.config.snippets import CERTIFICATE, KEY, write
from tests.support.certificates import Certificate
from wsgw.config.pem import (
    PemFiles,
    check_certificate_and_key,
    check_certificates,
    der_of,
    leaf_certificate,
    pem_certificates,
)


def test_certificates_come_in_their_order(certificate: Certificate) -> None:
    leaf, authority = certificate.chain.read_text(), certificate.ca.read_text()
    found = pem_certificates(f"subject=a\n{leaf}text between\n{authority}".encode())
    assert [der_of(one) for one in found] == [ssl.PEM_cert_to_DER_cert(one) for one in (leaf, authority)]


def test_the_leaf_certificate_is_found_if_there_is_one(certificate: Certificate, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\n\u2603A===\n-----END CERTIFICATE-----\n")
    leaf = leaf_certificate(certificate.pem, PemFiles())
    assert leaf == ssl.PEM_cert_to_DER_cert(certificate.chain.read_text())
    for path in (broken, tmp_path / "none", tmp_path, certificate.key):
        assert leaf_certificate(path, PemFiles()) is None


def test_a_file_is_kept_as_it_was_read(tmp_path: Path) -> None:
    there, later = tmp_path / "there.pem", tmp_path / "later.pem"
    there.write_text("old")
    files = PemFiles([there, later])
    there.write_text("new")
    later.write_text("new")
    assert files.read(there) == b"old"
    with pytest.raises(FileNotFoundError):
        files.read(later)


def test_only_regular_files_of_some_megabytes_are_read(tmp_path: Path) -> None:
    """A pipe would block the parent, and a device has no end."""
    os.mkfifo(pipe := tmp_path / "pipe")
    with (huge := tmp_path / "huge").open("wb") as file:
        file.truncate(8 * 1024 * 1024 + 1)
    for path, reason in (
        (pipe, "Not a regular file"),
        (Path("/dev/zero"), "Not a regular file"),
        (huge, "File too large"),
        (tmp_path, "Is a directory"),
        (tmp_path / "none", "No such file"),
    ):
        with pytest.raises(OSError, match=reason):
            PemFiles([path]).read(path)
        with pytest.raises(ValueError, match=r"cannot be read|does not exist"):
            check_certificates(path)


def test_a_file_without_an_end_is_searched_in_one_pass() -> None:
    """It took hours when each beginning was followed to the end of the file."""
    assert pem_certificates(b"-----BEGIN CERTIFICATE-----\nMAA=\n" * 200_000) == []


def test_a_bad_pem_file_is_an_error(tmp_path: Path) -> None:
    both = write(tmp_path / "both.pem", CERTIFICATE + KEY)
    check_certificate_and_key(both)
    check_certificates(both)
    for content, reason in (
        (CERTIFICATE, "no private key"),
        (KEY, "no PEM certificate"),
        ("", "no PEM certificate"),
        (CERTIFICATE + KEY.replace("BEGIN", "BEGIN ENCRYPTED"), "passphrase"),
        (CERTIFICATE + "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", "passphrase"),
    ):
        with pytest.raises(ValueError, match=reason):
            check_certificate_and_key(write(tmp_path / "x.pem", content))


def test_changed_files_are_found(tmp_path: Path) -> None:
    """A file that stays missing has not changed."""
    names = [tmp_path / name for name in ("same.pem", "other.pem", "gone.pem", "missing.pem")]
    for path in names[:3]:
        path.write_text(CERTIFICATE)
    first = PemFiles(names)
    assert first.read_again().changed(first) == []
    names[1].write_text(CERTIFICATE + KEY)
    names[2].unlink()
    assert first.read_again().changed(first) == sorted(names[1:3])
