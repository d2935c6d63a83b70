"""Gateways, each with one way to the server, and certificates of several authorities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificate, make_certificate
from tests.support.gateway import Gateway
from tests.support.wire import XmppServer
from tests.upstream.scripted import HASTY, PATIENT


@pytest.fixture
def start(certificate: Certificate, tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """``start(ws_options, ...)``: a gateway with these listener options; it must end in order."""
    running: list[Gateway] = []

    def start(ws_options: str, pace: str = PATIENT, **settings: Any) -> Gateway:
        folder = tmp_path / f"gateway-{len(running)}"
        gateway = Gateway(folder, certificate, 1, ws_options=pace + ws_options, **settings)
        try:
            return gateway.start()
        finally:
            running.append(gateway)

    yield start
    statuses = [gateway.stop() for gateway in running]
    for gateway in running:
        gateway.close()
        gateway.assert_clean_log({})
    assert not any(statuses), statuses


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Certificate]:
    """``certificates(name, kind)``: one for ``name``; ``kind`` is its folder, each with its own CA."""
    made: dict[str, Certificate] = {}

    def make(name: str = "localhost", kind: str = "good", *, days: str | None = None) -> Certificate:
        key = f"{kind}-{name}"
        if key not in made:
            made[key] = make_certificate(
                tmp_path_factory.mktemp(key),
                name,
                extra="",
                days=days or "30",
                alternative=kind != "common name",
            )
        return made[key]

    return make


@pytest.fixture(scope="module")
def start_secure(
    xmpp_server: XmppServer,
    certificate: Certificate,
    certificates: Callable[..., Certificate],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str, str], Gateway]]:
    """``start_secure(scheme, pace)``: the module's gateway for ``scheme``, with several authorities."""
    folder = tmp_path_factory.mktemp("secure")
    known = [certificates(), certificates("127.0.0.1.example"), certificates(kind="expired", days="0")]
    known.append(certificates(kind="common name"))
    cafile = folder / "authorities.pem"
    cafile.write_bytes(b"".join(each.ca.read_bytes() for each in known))
    gateways: dict[str, Gateway] = {}

    def start(scheme: str, pace: str) -> Gateway:
        upstream = f'{{upstream, "{scheme}://127.0.0.1:{xmpp_server.port}"}}, '
        options = pace + upstream + f'{{upstream_cafile, "{cafile}"}}, '
        if options not in gateways:
            gateways[options] = Gateway(folder / str(len(gateways)), certificate, 1, ws_options=options)
            gateways[options].start()
        return gateways[options]

    try:
        yield start
        statuses = [gateway.stop() for gateway in gateways.values()]
        assert not any(statuses), statuses
    finally:
        for gateway in gateways.values():
            gateway.close()
    for gateway in gateways.values():
        gateway.assert_clean_log({})


@pytest.fixture(params=["starttls", "tls"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def secure(start_secure: Callable[[str, str], Gateway], scheme: str) -> Gateway:
    return start_secure(scheme, PATIENT)


@pytest.fixture
def hasty(start_secure: Callable[[str, str], Gateway], scheme: str) -> Gateway:
    return start_secure(scheme, HASTY)
