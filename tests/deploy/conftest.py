"""Two releases are built once in a test run; every test gets a copy of the stage with one or both of them.

The first is built as an admin builds it. Tests that build another one to test the next steps have a Python
whose environments are copies of that of the first release.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.deploy.staging import LOCKS, Stage, copy_stage, copy_tree, copying_python
from tests.support.processes import ROOT

OLD, NEW = "0.1.1", "0.1.2"
#: Imports every module of a release, so that its copies find them compiled.
COMPILE = """
import importlib, pkgutil, wsgw
for module in pkgutil.walk_packages(wsgw.__path__, "wsgw."):
    if not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
"""
#: A configuration of the admin, so that no test depends on the file that deploy.sh would write.
CONFIG = "hosts: [localhost]\nlisten:\n- {port: 5288, module: websocket_session, upstream: 'tcp://127.0.0.1:5222'}\n"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits until the releases are built, which takes some time on a busy machine."""
    for item in items:
        if "offline" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(300))


class Built(NamedTuple):
    """Two trees; a stage after deploying ``old``, and one after deploying ``new`` over it.

    ``filled`` is a Python whose environments have all packages already, ``empty`` one whose environments have
    only pip.
    """

    old: Path
    new: Path
    filled: Path
    empty: Path
    first: Path
    both: Path


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if base.name.startswith("pytest-") else base.parent) / "deploy"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """In the block, the first process makes ``path``, and the others wait."""
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def offline(shared: Path) -> dict[str, str]:
    """An environment in which pip finds all packages of a release without a network."""
    wheels = shared / "wheels"
    with only_one(wheels):
        if not wheels.exists():
            partial = shared / "wheels.partial"
            argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
            argv += ["--dest", str(partial), *(word for lock in LOCKS for word in ("-r", str(ROOT / lock)))]
            subprocess.run(argv, check=True, env={**os.environ, "PIP_USE_PEP517": "1"})
            partial.rename(wheels)
    return {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_NO_COMPILE": "1",
        "PYTHON": sys.executable,
    }


@pytest.fixture(scope="session")
def built(shared: Path, offline: dict[str, str]) -> Built:
    built = Built(*(shared / name for name in Built._fields))
    with only_one(built.both):
        if not built.both.exists():
            copy_tree(built.old, OLD), copy_tree(built.new, NEW)
            stage = Stage(shared / "stage", offline)
            stage.write("etc/wsgw/wsgw.yml", CONFIG)
            stage.deploy(built.old)
            for program, is_filled in ((built.filled, True), (built.empty, False)):
                copying_python(program, stage.release_folder(), filled=is_filled)
            stage.python("-c", COMPILE).check_returncode()
            copy_stage(stage.root, built.first)
            stage.env["PYTHON"] = str(built.filled)
            stage.deploy(built.new)
            stage.python("-c", COMPILE).check_returncode()
            stage.root.rename(built.both)
    return built


@pytest.fixture
def make_stage(built: Built, offline: dict[str, str]) -> Iterator[Callable[[Path | None], Stage]]:
    """``make_stage(built.first)``: a stage for one test; of None an empty one."""
    folders: list[Path] = []

    def make(source: Path | None) -> Stage:
        folder = Path(tempfile.mkdtemp(prefix="wsgw-stage-", dir=built.first.parent))
        folders.append(folder)
        root = folder / "root"
        if source is not None:
            copy_stage(source, root)
        return Stage(root, offline)

    yield make
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
