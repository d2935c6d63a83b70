"""The fixtures of all tests: real servers, gateways, accounts.

Hypothesis has its own settings, with ``CI`` those for CI, except the deadline of an example.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# The time of an example depends on the machine more than on the code.
settings.register_profile(
    "any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

pytest_plugins = [
    "tests.support.warden",
    "tests.support.both_ways",
    "tests.support.fixtures",
    "tests.support.edges",
    "tests.support.markers",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--native", action="store_true", help="run the real clients against the servers' own WebSockets too"
    )
