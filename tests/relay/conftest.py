"""In every test here, the machines follow their tables of states."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.machines import held_to_tables


@pytest.fixture(scope="package", autouse=True)
def tables() -> Iterator[None]:
    with held_to_tables():
        yield
