"""The two C programs: compiled once per source text, below ``build/``."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.processes import ROOT

SOURCES = Path(__file__).with_name("c")
COMPILER = ("gcc", "-O2", "-Wall", "-Wextra", "-Werror")
LIBRARIES = ("-lssl", "-lcrypto")


def compiled(name: str) -> Path:
    """The program ``name`` (``load`` or ``stub``). Raises RuntimeError if it does not compile.

    A process that finds none compiles it: several test processes may do so at the same time.
    """
    texts = b"".join(path.read_bytes() for path in sorted(SOURCES.iterdir()))
    digest = hashlib.sha256(texts).hexdigest()[:16]
    program = ROOT / "build" / "bench" / f"{name}-{digest}"
    if not program.exists():
        if shutil.which(COMPILER[0]) is None:
            raise RuntimeError("gcc is not installed (Debian packages gcc, libc6-dev, libssl-dev)")
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=program.parent) as folder:
            fresh = Path(folder) / name
            argv = [*COMPILER, "-o", str(fresh), str(SOURCES / f"{name}.c"), *LIBRARIES]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{name}.c does not compile (libssl-dev is needed):\n{done.stderr}")
            fresh.replace(program)
    return program
