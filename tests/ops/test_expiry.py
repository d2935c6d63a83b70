"""When the certificates of listeners expire."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.ops.conftest import Make
from wsgw.config import load
from wsgw.config.pem import PemFiles
from wsgw.ops.expiry import expiries

DAY = 86_400.0


def expiries_of(folder: Path, options: str) -> dict[str, float]:
    path = folder / "wsgw.yml"
    upstream = "upstream: 'tcp://127.0.0.1'"
    path.write_text(
        f"hosts: [example.org]\nlisten:\n- {{port: 5288, module: websocket_session, {upstream}{options}}}\n"
    )
    config = load(path)
    return expiries(config, PemFiles.of(config))


def test_a_certificate_has_its_last_moment(tmp_path: Path, make: Make) -> None:
    pem = make(days="20").pem
    ((name, expiry),) = expiries_of(tmp_path, f", tls: true, certfile: {pem}").items()
    assert name == str(pem)
    assert expiry == pytest.approx(time.time() + 20 * DAY, abs=DAY)


def test_a_listener_without_tls_has_no_certificate(tmp_path: Path, make: Make) -> None:
    assert expiries_of(tmp_path, "") == {}
