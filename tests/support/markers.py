"""Markers of tests that a quick run leaves out, by the folder or the fixtures of a test.

A test that is left out for another reason has the marker itself. CONTRIBUTING.md explains the markers.
"""

from __future__ import annotations

import os

import pytest

from tests.support.fixtures import missing
from tests.support.processes import ROOT

#: By fixture: a test that uses it, directly or through another fixture, has the marker.
OF_FIXTURES = {
    "bare": "root",
    "cable": "root",
    "node": "real",
    "promtool": "real",
    "start": "slow",  # a gateway for one test, in several processes
    "start_server": "real",
    "watched": "slow",  # six sessions through two workers
}
#: By folder: all tests in it have the marker.
OF_FOLDERS = {
    "tests/deploy": "slow",
    "tests/load": "perf",
    "tests/real": "real",
    "tests/soak": "slow",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the markers before ``-m`` selects by them."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        names = {name for fixture, name in OF_FIXTURES.items() if fixture in fixtures}
        names |= {name for folder, name in OF_FOLDERS.items() if (ROOT / folder) in item.path.parents}
        for name in sorted(names):
            item.add_marker(name)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if os.geteuid() != 0 and item.get_closest_marker("root"):
        missing("needs root")
