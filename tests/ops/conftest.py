from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real.certificates import Certificate
from real.gateway import Gateway
from real.processes import ReservedPort

from ops.admin import Admin

StartAdmin = Callable[..., Admin]


@pytest.fixture
def start(certificate: Certificate, tmp_path: Path) -> Iterator[StartAdmin]:
    """``start(c2s_port, **settings)``: a gateway with an admin's listener, ended in any case."""
    running: list[Gateway] = []
    ports: list[ReservedPort] = []

    def begin(c2s_port: int, *, admin: str = "{%d, wsgw_admin, []}", **settings: Any) -> Admin:
        ports.append(ReservedPort())
        port = ports[-1].number
        more = "{listen, [" + admin % port + "]}.\n" + settings.pop("top_level", "")
        folder = tmp_path / f"gateway-{len(running)}"
        gateway = Gateway(folder, certificate, c2s_port, top_level=more, **settings)
        running.append(gateway)
        gateway.start().child.wait_for_ports(port)
        return Admin(port, gateway)

    yield begin
    for gateway in running:
        gateway.close()
    for port in ports:
        port.release()
