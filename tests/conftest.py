"""What every test can ask for: the fixtures of real servers.

Hypothesis keeps its own settings, those for CI where ``CI`` is set, but for the deadline of an example.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more about the machine than about the code.
settings.register_profile(
    "any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

pytest_plugins = [
    "tests.support.warden",
    "tests.support.fixtures",
    "tests.support.edges",
    "tests.support.markers",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--native", action="store_true", help="run the real clients against the servers' own WebSockets too"
    )
