"""Copies of the package, in which an extension can be built and broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.processes import ROOT


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the package ``wsgw`` as far as the extension needs it, and no extension."""
    shutil.copytree(
        ROOT / "wsgw/_native",
        tmp_path / "wsgw/_native",
        ignore=shutil.ignore_patterns("*.so", "__pycache__"),
    )
    shutil.copy(ROOT / "wsgw/__init__.py", tmp_path / "wsgw")
    return tmp_path
