"""A running demo server, and clients for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.demo.raw_client import RawClient
from wsgw.demo import DemoServer

ACCOUNTS = {"alice": "secret", "bob": "secret", "carol": "secret", "jörg": "straße"}


@pytest.fixture
def server() -> Iterator[DemoServer]:
    with DemoServer("localhost", ACCOUNTS, resumption_window=30) as running:
        yield running


@pytest.fixture
def connect(server: DemoServer) -> Iterator[Callable[[], RawClient]]:
    """Makes raw connections, and closes them at the end."""
    clients: list[RawClient] = []

    def make() -> RawClient:
        clients.append(RawClient(server.port))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
