"""The certificate of a demo for another machine."""

from __future__ import annotations

import hashlib
import shutil
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.fixtures import missing
from wsgw.demo.certificate import SelfSigned, names_of, self_signed
from wsgw.errors import ConfigError

NAMES = ["10.0.0.1", "fd00::1", "machine.example"]


@pytest.fixture(scope="module")
def made() -> Iterator[SelfSigned]:
    if shutil.which("openssl") is None:
        missing("openssl is not installed")
    with self_signed(NAMES) as certificate:
        yield certificate
    assert not certificate.pem.exists()
    assert not certificate.pem.parent.exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_client_trusts_it_for_each_name(made: SelfSigned, name: str) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.pem)
    upward, downward = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cadata=made.certificate)
    client = context.wrap_bio(downward, upward, server_hostname=name)
    gateway = server.wrap_bio(upward, downward, server_side=True)
    for _ in range(3):
        for side in (client, gateway):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    der = client.getpeercert(binary_form=True)
    assert der is not None
    assert made.fingerprint == hashlib.sha256(der).digest().hex(":").upper()


def test_no_other_account_reads_the_key(made: SelfSigned) -> None:
    assert stat.S_IMODE(made.pem.parent.stat().st_mode) == 0o700


def test_without_openssl_the_reason_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="install the package openssl"):
        self_signed(NAMES).__enter__()
    (tmp_path / "openssl").write_text("#!/bin/sh\necho too old >&2\nexit 1\n")
    (tmp_path / "openssl").chmod(0o755)
    with pytest.raises(ConfigError, match="openssl failed: too old"):
        self_signed(NAMES).__enter__()


def test_the_names_of_an_address() -> None:
    assert names_of("10.0.0.1") == ["10.0.0.1"]
    for everything in ("0.0.0.0", "::"):
        *addresses, host = names_of(everything)
        assert host == socket.gethostname()
        assert len(addresses) <= 1
