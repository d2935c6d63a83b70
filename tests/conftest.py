"""What every test can ask for: checkout and tests on the import path, and the fixtures of real servers.

Hypothesis keeps its own settings, those for CI where ``CI`` is set, but for the deadline of an example.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [folder for folder in (str(TESTS.parent), str(TESTS)) if folder not in sys.path]

# How long an example takes says more about the machine than about the code.
settings.register_profile(
    "any machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

pytest_plugins = ["real.fixtures", "edges"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--native", action="store_true", help="run the real clients against the servers' own WebSockets too"
    )
