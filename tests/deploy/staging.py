"""A tree to deploy from, and a stage to deploy into."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import ROOT

#: The parts of the tree that a deployment needs.
LOCKS = ("requirements-build.lock", "requirements.lock")
BUILD = ("pyproject.toml", "setup.py", "requirements.txt", *LOCKS)
PARTS = ("wsgw", "scripts", "deploy", *BUILD, "README.md", "LICENSE")
SECONDS = 300
_hashes: dict[tuple[int, int, int, int], str] = {}


def copy_tree(folder: Path, version: str = "") -> Path:
    """A copy of this tree, with another version if one is given."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / part)
    if version:
        (folder / "wsgw/__init__.py").write_text(f'"""wsgw."""\n\n__version__ = "{version}"\n')
    return folder


def copy_stage(source: Path, target: Path) -> Path:
    """A copy of a stage; its files are hard links, as no deployment changes a file in place."""
    subprocess.run(["cp", "-al", source, target], check=True)
    return target


#: A Python whose environments are copies of one.
COPYING = """\
#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then exec cp -a {environment} "$3"; fi
exec {python} "$@"
"""


def copying_python(program: Path, release: Path, *, filled: bool) -> None:
    """Write such a program, and an environment from a release: with its packages, or with pip alone."""
    environment = program.with_name(f"{program.name}-environment")
    shutil.copytree(release, environment, symlinks=True)
    (environment / ".complete").unlink()
    shutil.rmtree(environment / "deploy")
    (packages,) = environment.glob("lib/python*/site-packages")
    for path in () if filled else packages.iterdir():
        if path.is_file():
            path.unlink()
        elif not path.name.startswith("pip"):
            shutil.rmtree(path)
    text = COPYING.format(environment=shlex.quote(str(environment)), python=shlex.quote(sys.executable))
    program.write_text(text)
    program.chmod(0o755)


class Stage:
    """A folder that represents the root of a machine."""

    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self.root = root
        self.env = dict(env)
        root.mkdir(parents=True, exist_ok=True)

    @property
    def home(self) -> Path:
        return self.root / "opt/wsgw"

    @property
    def config(self) -> Path:
        return self.root / "etc/wsgw/wsgw.yml"

    @property
    def service(self) -> Path:
        return self.root / "etc/systemd/system/wsgw.service"

    def current(self) -> str:
        return self.release("current")

    def release(self, link: str) -> str:
        """The version of the release that a link points to; empty if there is no such link."""
        path = self.home / link
        return path.readlink().name.rpartition("-")[0] if path.is_symlink() else ""

    def release_folder(self) -> Path:
        """The folder of the current release."""
        return (self.home / "current").resolve()

    def versions(self) -> list[str]:
        return sorted(path.name.rpartition("-")[0] for path in (self.home / "releases").iterdir())

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def start(self, tree: Path, script: str = "deploy.sh", *arguments: str) -> subprocess.Popen[str]:
        """Start a script of ``tree`` on this stage."""
        return subprocess.Popen(
            ["bash", str(tree / "scripts" / script), "--root", str(self.root), *arguments],
            env={**os.environ, **self.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, tree: Path, script: str, *arguments: str, status: int | None = 0) -> str:
        """Run a script of ``tree`` on this stage; returns its output. It must exit with ``status``."""
        with self.start(tree, script, *arguments) as running:
            try:
                said, _ = running.communicate(timeout=SECONDS)
            except BaseException:
                running.kill()
                raise
        assert status is None or running.returncode == status, said
        return said

    @contextmanager
    def home_locked(self) -> Iterator[None]:
        """Hold the lock, as another deployment does."""
        folder = os.open(self.home / ".lock", os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
        os.close(folder)

    def deploy(self, tree: Path, *arguments: str, status: int | None = 0) -> str:
        return self.run(tree, "deploy.sh", *arguments, status=status)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the Python of the current release, as the unit does: through the link."""
        return subprocess.run(
            [str(self.home / "current/bin/python"), *arguments],
            cwd="/",
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def snapshot(self) -> dict[str, str]:
        """Every path, with the content of files and links, when it was written, and its mode."""
        return {str(path.relative_to(self.root)): _state(path) for path in self.root.rglob("*")}


def _state(path: Path) -> str:
    status = path.lstat()
    if path.is_symlink():
        return f"-> {path.readlink()}"
    if path.is_dir():
        return f"folder {status.st_mode:o}"
    # Most files of all stages are links to the same ones.
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if key not in _hashes:
        _hashes[key] = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{_hashes[key]} {status.st_mode:o} {status.st_mtime_ns}"
