"""What every test can ask for: checkout and tests on the import path, and the fixtures of real servers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
sys.path[:0] = [folder for folder in (str(TESTS.parent), str(TESTS)) if folder not in sys.path]

pytest_plugins = ["real.fixtures", "edges"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--native", action="store_true", help="run the real clients against the servers' own WebSockets too"
    )
