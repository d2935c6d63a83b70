"""Gateways of several processes, and traffic through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificate
from tests.support.gateway import Gateway
from tests.support.observe import wait_for_silence
from tests.support.traffic import Traffic

Start = Callable[..., Gateway]


@pytest.fixture
def start(certificate: Certificate, tmp_path: Path) -> Iterator[Start]:
    """``start(c2s_port, **settings)``: a gateway without a connection, stopped in any case."""
    running: list[Gateway] = []

    def begin(c2s_port: int, **settings: Any) -> Gateway:
        gateway = Gateway(tmp_path / f"gateway-{len(running)}", certificate, c2s_port, **settings)
        running.append(gateway)
        gateway.start()
        wait_for_silence(gateway.ws_port, gateway.wss_port)
        return gateway

    yield begin
    for gateway in running:
        gateway.close()


@pytest.fixture
def traffic(certificate: Certificate) -> Iterator[Traffic]:
    with Traffic(certificate.ca) as traffic:
        yield traffic
