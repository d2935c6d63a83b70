"""The machine of the measurement, and the versions of the measured programs."""

from __future__ import annotations

import platform
import pyexpat
import shutil
import ssl
import subprocess
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from tests.bench.subjects import descriptor_limit
from tests.support.processes import ROOT


def machine() -> dict[str, str]:
    """Text by name, as the page shows it."""
    return {
        "machine": f"{_cpu_model()}, {_count('processor')} cores, {_memory()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "descriptors": f"{descriptor_limit()} a process",
        "wsgw": _commit(),
        "Python": f"{platform.python_version()}, gevent {version('gevent')}, {pyexpat.EXPAT_VERSION}",
        "OpenSSL": f"{ssl.OPENSSL_VERSION} under Python, {_package('libssl3')} under the others",
        "haproxy": _package("haproxy"),
        "Prosody": _package("prosody"),
        "ejabberd": f"{_package('ejabberd')} on Erlang {_package('erlang-base')}",
        "gcc": _said("gcc", "-dumpfullversion"),
    }


def when() -> str:
    """Now, as in ``2026-01-31 12:55 UTC``."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _said(*argv: str) -> str:
    if shutil.which(argv[0]) is None:
        return "none"
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout.strip() or "unknown"


def _package(name: str) -> str:
    """The version of a Debian package."""
    return _said("dpkg-query", "-W", "-f", "${Version}", name)


def _commit() -> str:
    described = _said("git", "describe", "--always", "--dirty", "--abbrev=7")
    return f"{version_of_tree()}, commit {described}"


def version_of_tree() -> str:
    """The version of the measured wsgw."""
    from wsgw import __version__

    return __version__


def _lines(name: str, path: str = "/proc/cpuinfo") -> list[str]:
    lines = Path(path).read_text("utf-8", "replace").splitlines()
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name]


def _cpu_model() -> str:
    return (_lines("model name") or [platform.machine()])[0]


def _count(name: str) -> int:
    return len(_lines(name))


def _memory() -> str:
    return f"{int(_lines('MemTotal', '/proc/meminfo')[0].split()[0]) / 1024**2:.0f} GiB"
