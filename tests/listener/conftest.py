"""The edges that these tests share."""

from __future__ import annotations

import ssl

import pytest

from tests.support.certificates import Certificate
from tests.support.edges import StartEdge
from tests.support.gateway import Gateway


@pytest.fixture(scope="module")
def edge(start_edge: StartEdge) -> Gateway:
    return start_edge()


@pytest.fixture(scope="module")
def hasty(start_edge: StartEdge) -> Gateway:
    """Short deadlines, by default twice as long as a read's."""
    return start_edge(ws_options="{handshake_timeout, 1}, {tls_handshake_timeout, 1}, ")


@pytest.fixture(scope="module")
def context(certificate: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate.ca)
