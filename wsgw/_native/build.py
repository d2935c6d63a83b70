"""Builds the extension with the system's C compiler. It needs no package, so that each tree can be built.

``python -m wsgw._native.build`` (``scripts/build.sh``) builds it in place, ``setup.py`` into a package. The
environment may set ``CC``, the compiler, and ``CFLAGS``, more arguments for it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from wsgw._native.sources import FOLDER, source_files, sources_hash

#: The suffix of a module of the limited API, without the version of a Python.
FILE_NAME: Final = "_core.abi3.so"
#: Exit statuses.
BUILT, FAILED, UNABLE = 0, 1, 3

#: For the code: the limited API of Python 3.10; only the module's initialisation is visible to others. With
#: -O2, gcc 12 makes no vector code: 64 KiB are unmasked in 7.1 µs instead of 1.4.
_CODE: Final = ("-std=c11", "-O3", "-DNDEBUG", "-DPy_LIMITED_API=0x030A0000", "-fPIC", "-fvisibility=hidden")
#: Against faults: stack canaries, checked memcpy, and a table of addresses that is read-only after loading.
_HARDENING: Final = ("-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2")
_LINK: Final = ("-shared", "-Wl,-z,relro,-z,now", "-Wl,-z,noexecstack")


class BuildError(Exception):
    """The compiler has refused the sources; the text is what it printed."""


def missing() -> str:
    """What a build needs and this machine lacks, as part of a sentence; empty if it has both."""
    lacking = []
    if _compiler() is None:
        lacking.append("a C compiler (Debian: apt-get install gcc libc6-dev)")
    if not any((folder / "Python.h").exists() for folder in _include_folders()):
        lacking.append(f"the headers of {sys.executable} (Debian: apt-get install python3-dev)")
    return " and ".join(lacking)


def build(target: Path) -> None:
    """Build the extension as the file ``target``. Raises BuildError and OSError.

    The file is replaced in one step: processes that have loaded the previous one keep it.
    """
    with TemporaryDirectory(prefix=".build-", dir=target.parent) as folder:
        built = Path(folder, target.name)
        done = subprocess.run(_command(built), capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            raise BuildError(done.stderr.strip() or f"the compiler ended with status {done.returncode}")
        os.replace(built, target)


def _command(target: Path) -> list[str]:
    compiler = _compiler() or ["cc"]
    include = [f"-I{folder}" for folder in _include_folders()]
    carried = f'-DWSGW_SOURCES_HASH="{sources_hash()}"'
    more = shlex.split(os.environ.get("CFLAGS", ""))
    sources = [str(file) for file in source_files() if file.suffix == ".c"]
    return [*compiler, *_CODE, *_HARDENING, carried, *include, *more, *sources, *_LINK, "-o", str(target)]


def _compiler() -> list[str] | None:
    """The command of the compiler: ``CC``, otherwise the one that built this Python, otherwise ``cc``."""
    built_by = str(sysconfig.get_config_var("CC") or "")
    for command in (os.environ.get("CC", ""), built_by, "cc", "gcc", "clang"):
        words = shlex.split(command)
        if words and shutil.which(words[0]):
            return words
    return None


def _include_folders() -> list[Path]:
    return [Path(path) for path in dict.fromkeys(map(sysconfig.get_path, ("include", "platinclude")))]


def main() -> int:
    """Build the extension in place, and say so in one line; returns the exit status."""
    if lacking := missing():
        print(f"native functions: not built, wsgw runs in pure Python; missing: {lacking}")
        return UNABLE
    try:
        build(FOLDER / FILE_NAME)
    except (BuildError, OSError) as error:
        print(error, file=sys.stderr)
        print("native functions: not built, wsgw runs in pure Python; the compiler's errors are above")
        return FAILED
    print("native functions: built")
    return BUILT


if __name__ == "__main__":
    sys.exit(main())
