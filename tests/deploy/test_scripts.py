"""The scripts on a machine without Python, their output, and the result of an interruption."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

import pytest

from tests.support.fixtures import missing
from tests.support.processes import ROOT

#: Hides Debian's Python, and the file of the scripts in /usr/sbin, from one process and its children.
BARE = """
set -e
if [ -e /usr/bin/python3 ]; then mount --bind /dev/null "$(readlink -f /usr/bin/python3)"; fi
mount -t tmpfs tmpfs /usr/sbin
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
exec "$@"
"""
APT = """\
#!/bin/bash
echo "apt-get $*" >>{log}
/usr/sbin/policy-rc.d || echo "services: $?" >>{log}
{then}
"""
NEEDED = "error: Python 3.10 or newer is needed. On Debian and Ubuntu: apt-get install python3 python3-venv."
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")


class Bare:
    """A machine without Python; its ``apt-get`` logs its arguments and runs ``then``."""

    def __init__(self, folder: Path) -> None:
        self.tools = folder / "bin"
        self.log = folder / "apt.log"
        self.tools.mkdir()
        for program in [*Path("/bin").iterdir(), *Path("/usr/bin").iterdir()]:
            if (
                not program.name.startswith(("python", "apt-get"))
                and not (self.tools / program.name).exists()
            ):
                (self.tools / program.name).symlink_to(program)

    def apt_does(self, then: str) -> None:
        program = self.tools / "apt-get"
        program.write_text(APT.format(log=self.log, then=then))
        program.chmod(0o755)

    def run(self, *command: str, user: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        argv = ["unshare", "--mount", "bash", "-c", BARE, "bare", *user, *command]
        env = {"PATH": str(self.tools)}
        return subprocess.run(
            argv,
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            errors="replace",
        )

    def lib(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Commands after lib.sh, in a shell like that of the scripts."""
        return self.run("bash", "-c", f"set -euo pipefail; . scripts/lib.sh; {commands}")


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        missing("no mount namespaces here")
    return Bare(tmp_path)


@pytest.mark.parametrize(
    "script",
    [
        "demo.sh",
        "test.sh",
        "conformance.sh",
        "coverage.sh",
        "fuzz.sh",
        "lock.sh",
        "processes.sh",
        "soak.sh",
        "deploy.sh --dry-run",
    ],
)
def test_the_package_is_named_where_python_is_missing(script: str, bare: Bare) -> None:
    name, *arguments = script.split()
    done = bare.run(
        "/bin/bash", f"scripts/{name}", *arguments, user=["/usr/bin/env", "PATH=/usr/bin:/bin", *NOBODY]
    )
    assert done.returncode == 1
    assert NEEDED in done.stderr
    assert "command not found" not in done.stderr


def test_root_installs_python(bare: Bare) -> None:
    """The installation starts no service, and the file that prevents that is removed afterwards."""
    bare.apt_does(f"if [[ $* == *install* ]]; then ln -s {quote(sys.executable)} {bare.tools}/python3; fi")
    done = bare.lib("found=$(find_python); ls -A /usr/sbin; echo $found")
    assert done.stdout == f"{bare.tools}/python3\n"
    assert "no Python 3.10 or newer" in done.stderr
    assert "installing with apt-get: python3 python3-venv" in done.stderr
    assert bare.log.read_text().splitlines() == [
        "apt-get -q update",
        "services: 101",
        "apt-get -q -y --no-install-recommends install python3 python3-venv",
        "services: 101",
    ]


def test_a_dry_run_installs_no_python(bare: Bare) -> None:
    bare.apt_does("true")
    done = bare.run("bash", "scripts/deploy.sh", "--dry-run", "--domain", "example.org")
    assert done.returncode == 0, done.stderr
    assert "would do: apt-get install python3 python3-venv\n" in done.stdout
    assert not bare.log.exists()


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs here")
@pytest.mark.parametrize("script", ["deploy.sh", "undeploy.sh"])
def test_a_dry_run_fails_without_systemd_like_a_real_run(script: str) -> None:
    for arguments in ([], ["--dry-run"]):
        argv = ["bash", str(ROOT / "scripts" / script), *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert "error: systemd does not run here" in done.stderr


def test_a_failed_installation_is_reported(bare: Bare) -> None:
    bare.apt_does('echo "E: no such package" >&2; exit 100')
    done = bare.lib("find_python")
    assert done.returncode == 1
    assert "   | E: no such package" in done.stderr
    assert NEEDED in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_an_interrupted_installation_stops_no_service_later(bare: Bare, number: signal.Signals) -> None:
    """After SIGKILL, which leaves the file, the next installation removes it."""
    bare.apt_does(f"kill -{int(number)} $PPID")
    again = "printf '#!/bin/bash\\n' >$(command -v apt-get); apt_install x; "
    after = f"{again if number == signal.SIGKILL else ''}echo left: $(ls -A /usr/sbin)"
    done = bare.lib(f"(apt_install x) || true; {after}")
    assert done.stdout.splitlines()[-1] == "left:", done.stderr


def test_the_policy_of_the_admin_stays(bare: Bare) -> None:
    bare.apt_does("true")
    own = "printf '#!/bin/sh\\nexit 104\\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d"
    done = bare.lib(f"{own}; apt_install x; cat /usr/sbin/policy-rc.d")
    assert done.stdout.endswith("#!/bin/sh\nexit 104\n")


def test_a_long_installation_shows_that_it_continues(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f". scripts/lib.sh; with_progress 'installing x' bash -c 'echo at work; cat {fifo}; exit 3'"
    with subprocess.Popen(
        ["bash", "-c", script],
        cwd=ROOT,
        env={**os.environ, "WSGW_PROGRESS_SECONDS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "   installing x\n"
        assert running.stdout.readline() == "   ... 1 s: at work\n"
        fifo.write_text("the reason\n")
        assert running.stderr.read() == "   | at work\n   | the reason\n"
        assert running.wait(60) == 3


def test_paths_for_pip_are_relative_to_the_folder_of_the_call(
    offline: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "packages").symlink_to(offline["PIP_FIND_LINKS"])
    libraries = f"called_from=$PWD; cd {quote(str(ROOT))}; . scripts/lib.sh"
    script = f"{libraries}; pip_of {quote(sys.prefix)} download --no-deps -d here defusedxml"
    env = {**os.environ, **offline, "PIP_FIND_LINKS": "packages"}
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, check=True)
    assert [path.name.partition("-")[0] for path in (tmp_path / "here").iterdir()] == ["defusedxml"]


# -- help -----------------------------------------------------------------------------------------

WITH_HELP = sorted(path.name for path in (ROOT / "scripts").glob("*.sh") if not path.name.startswith("lib"))


@pytest.mark.parametrize("name", WITH_HELP)
def test_help_only_prints(name: str, tmp_path: Path) -> None:
    """In a tree without packages, called from another folder; it installs and writes nothing."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "scripts", tree / "scripts")
    for asked in ("--help", "-h"):
        done = subprocess.run(
            [tree / "scripts" / name, asked],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) > 1
        assert "#!" not in done.stdout
        assert "set -e" not in done.stdout
    assert [path.name for path in tree.iterdir()] == ["scripts"]


@pytest.mark.parametrize("name", ["fuzz.sh", "processes.sh", "soak.sh"])
def test_an_argument_that_is_no_number_is_an_error(name: str) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / name, "many"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: usage: ")
    assert done.stdout == ""
