from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.fixtures import missing
from tests.support.network_namespaces import NetworkNamespace

#: The address of ``namespace``.
ADDRESS = "10.199.7.1"


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[NetworkNamespace]:
    """A separate network, with one address that is not on loopback."""
    try:
        made = NetworkNamespace(tmp_path / "namespace.log")
    except OSError as error:
        missing(f"no network namespace: {error}")
    with closing(made):
        made.ip("link", "set", "lo", "up")
        made.ip("address", "add", f"{ADDRESS}/24", "dev", "lo")
        yield made
