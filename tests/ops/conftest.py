from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ops.admin import Admin
from tests.support.certificates import Certificate
from tests.support.gateway import Gateway
from tests.support.observe import wait_for_silence
from tests.support.processes import ReservedPort

StartAdmin = Callable[..., Admin]


@contextmanager
def starting(certificate: Certificate, folder: Path) -> Iterator[StartAdmin]:
    """``start(c2s_port, **settings)``: a gateway with an admin listener, stopped in any case.

    No client is connected to it yet.
    """
    running: list[Gateway] = []
    ports: list[ReservedPort] = []

    def begin(c2s_port: int, *, admin: str = "{%d, wsgw_admin, []}", **settings: Any) -> Admin:
        ports.append(ReservedPort())
        port = ports[-1].number
        more = "{listen, [" + admin % port + "]}.\n" + settings.pop("top_level", "")
        gateway = Gateway(
            folder / f"gateway-{len(running)}", certificate, c2s_port, top_level=more, **settings
        )
        running.append(gateway)
        gateway.start().child.wait_for_ports(port)
        wait_for_silence(gateway.ws_port, gateway.wss_port, port)
        return Admin(port, gateway)

    try:
        yield begin
    finally:
        for gateway in running:
            gateway.close()
        for port in ports:
            port.release()


@pytest.fixture
def start(certificate: Certificate, tmp_path: Path) -> Iterator[StartAdmin]:
    """See ``starting``."""
    with starting(certificate, tmp_path) as begin:
        yield begin


@pytest.fixture(scope="module")
def alone(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """A gateway without an XMPP server, for all tests of a module that do not change it."""
    with starting(certificate, tmp_path_factory.mktemp("alone")) as begin:
        yield begin(1)
