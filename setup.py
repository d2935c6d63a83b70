"""Builds the native functions with the package, if the machine can; pip says nothing if it cannot.

All other settings are in ``pyproject.toml``.
"""

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError

sys.path.insert(0, str(Path(__file__).parent))

from wsgw._native.build import BuildError, build, missing
from wsgw._native.sources import RECORD, source_files, sources_hash

FILES = [str(path.relative_to(Path(__file__).parent.resolve())) for path in source_files()]


class BuildExtension(build_ext):
    """Builds the extension as ``scripts/build.sh`` does."""

    def build_extension(self, ext: Extension) -> None:
        if lacking := missing():
            raise CompileError(f"missing: {lacking}")
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            build(target)
        except (BuildError, OSError) as error:
            raise CompileError(str(error)) from error


class BuildPython(build_py):
    """Records the hash of the sources, which no package has: the build folder may hold an old extension."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            Path(self.build_lib, "wsgw", "_native", RECORD).write_text(f"{sources_hash()}\n", "ascii")


setup(
    # One wheel for every Python from 3.10 on, as the extension.
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
    cmdclass={"build_ext": BuildExtension, "build_py": BuildPython},
    ext_modules=[
        Extension(
            "wsgw._native._core",
            [name for name in FILES if name.endswith(".c")],
            depends=[name for name in FILES if name.endswith(".h")],
            py_limited_api=True,
            optional=True,
        )
    ],
)
