"""What every test can ask for: the checkout on the import path, and the fixtures of real servers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [entry for entry in (str(ROOT), str(ROOT / "tests")) if entry not in sys.path]

pytest_plugins = ["real.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--native", action="store_true", help="run the real clients against the servers' own WebSockets too"
    )
