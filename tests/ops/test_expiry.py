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


def expiries_of(folder: Path, options: str, more: str = "") -> dict[str, float]:
    path = folder / "wsgw.yml"
    upstream = "upstream: 'tcp://127.0.0.1'"
    listener = f"{{port: 5288, module: websocket_session, {upstream}{options}}}"
    path.write_text(f"hosts: [example.org]\nlisten:\n- {listener}\n{more}")
    config = load(path)
    return expiries(config, PemFiles.of(config))


def test_a_certificate_has_its_last_moment(tmp_path: Path, make: Make) -> None:
    pem = make(days="20").pem
    ((name, expiry),) = expiries_of(tmp_path, f", tls: true, certfile: {pem}").items()
    assert name == str(pem)
    assert expiry == pytest.approx(time.time() + 20 * DAY, abs=DAY)


def test_a_listener_without_tls_has_no_certificate(tmp_path: Path, make: Make) -> None:
    assert expiries_of(tmp_path, "") == {}


def test_each_certificate_for_browsers_has_its_last_moment(tmp_path: Path, make: Make) -> None:
    """One without a key is the XMPP server's."""
    first, second, pin = make(), make(name="b.example"), make(name="c.example")
    named = [first.pem, second.chain, second.key, pin.chain]
    more = f"certfiles: [{', '.join(map(str, named))}]\n"
    assert list(expiries_of(tmp_path, ", tls: true", more)) == [str(first.pem), str(second.chain)]
    assert expiries_of(tmp_path, "", more) == {}
