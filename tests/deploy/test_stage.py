"""Releases, links, configuration and units in a staged tree, without a running service."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.deploy.conftest import CONFIG, NEW, OLD, Built
from tests.deploy.staging import Stage, copy_tree
from tests.support.both_ways import needs_native

Make = Callable[[Path | None], Stage]


def test_a_second_deployment_of_the_same_tree_changes_nothing(built: Built, make_stage: Make) -> None:
    stage = make_stage(built.first)
    before = stage.snapshot()
    said = stage.deploy(built.old)
    assert stage.snapshot() == before
    assert "nothing to do" in said


def test_an_extension_built_in_the_tree_is_no_change(built: Built, make_stage: Make, tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "tree", OLD)
    (tree / "wsgw/_native/_core.abi3.so").write_bytes(b"not for this Python")
    assert "nothing to do" in make_stage(built.first).deploy(tree)


def test_a_change_of_the_sources_in_c_is_another_release(built: Built) -> None:
    commands = 'tree=$0; . "$tree/scripts/lib-release.sh"; source_files'
    listed = subprocess.check_output(["bash", "-c", commands, built.old], text=True).split("\0")
    assert {"setup.py", "wsgw/_native/core.c", "wsgw/_native/frame.h"} <= set(listed)


@needs_native
def test_a_release_has_native_functions_built_with_its_python(built: Built, make_stage: Make) -> None:
    done = make_stage(built.first).python("-I", "-m", "wsgw._native.choice")
    assert done.stdout == "native functions\n"


def test_the_first_deployment_makes_release_configuration_and_units(built: Built, make_stage: Make) -> None:
    stage = make_stage(built.first)
    assert (stage.current(), stage.release("previous"), stage.versions()) == (OLD, "", [OLD])
    assert stage.config.read_text() == CONFIG
    assert stage.service.is_file()


def test_an_upgrade_keeps_the_previous_release(built: Built, make_stage: Make) -> None:
    stage = make_stage(built.both)
    assert (stage.current(), stage.release("previous"), stage.versions()) == (NEW, OLD, [OLD, NEW])
    assert stage.config.read_text() == CONFIG


def test_a_rollback_can_be_rolled_back(built: Built, make_stage: Make) -> None:
    stage = make_stage(built.both)
    stage.deploy(built.new, "--rollback")
    assert (stage.current(), stage.release("previous")) == (OLD, NEW)
    stage.deploy(built.new, "--rollback")
    assert (stage.current(), stage.release("previous")) == (NEW, OLD)


def test_a_rollback_without_a_previous_release_is_an_error(built: Built, make_stage: Make) -> None:
    stage = make_stage(built.first)
    before = stage.snapshot()
    said = stage.deploy(built.old, "--rollback", status=1)
    assert "no previous release" in said
    assert stage.snapshot() == before


def test_undeploy_keeps_the_configuration_and_purge_does_not(built: Built, make_stage: Make) -> None:
    stage = make_stage(built.both)
    stage.run(built.new, "undeploy.sh")
    left = {path for path, state in stage.snapshot().items() if not state.startswith("folder")}
    assert left == {"etc/wsgw/wsgw.yml"}
    assert "nothing to do" in stage.run(built.new, "undeploy.sh")
    stage.run(built.new, "undeploy.sh", "--purge")
    assert not any("wsgw" in path for path in stage.snapshot())


def test_the_same_steps_a_second_time_have_the_same_result(built: Built, make_stage: Make) -> None:
    stage = make_stage(built.first)

    def timeless() -> dict[str, str]:
        """Without the parts that depend on compilation and the clock."""
        return {
            path: state.rpartition(" ")[0] or state
            for path, state in stage.snapshot().items()
            if not path.endswith((".pyc", "/RECORD", "direct_url.json"))
        }

    before = timeless()
    release = (stage.home / "current").readlink().name
    stage.run(built.old, "undeploy.sh")
    stage.write(f"opt/wsgw/releases/{release}/bin/python", "left by a build that was interrupted")
    stage.deploy(built.old)
    assert timeless() == before


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("deploy.sh", ("--dry-run",)),
        ("deploy.sh", ("--dry-run", "--rollback")),
        ("deploy.sh", ("--dry-run", "--fresh", "--sockets")),
        ("undeploy.sh", ("--dry-run",)),
        ("undeploy.sh", ("--dry-run", "--purge")),
    ],
    ids=["deploy", "rollback", "fresh-sockets", "undeploy", "purge"],
)
def test_a_dry_run_prints_the_steps_and_changes_nothing(
    built: Built, make_stage: Make, script: str, arguments: tuple[str, ...]
) -> None:
    stage = make_stage(built.both)
    stage.env["PYTHON"] = str(built.filled)
    before = stage.snapshot()
    said = stage.run(built.old, script, *arguments)
    assert "would do: " in said
    assert stage.snapshot() == before


#: Of the old module, on a listener without TLS.
OLD_CFG = """\
{hosts, ["example.org"]}.
{listen, [
  {5222, ejabberd_c2s, []},
  {{5288, {127,0,0,1}}, websocket_session, [{request_handlers, [{["ws-xmpp"], mod_websocket}]}]}
]}.
"""


def shown_file(said: str) -> str:
    """The text that a dry run shows for a file, without the signs at the start of its lines."""
    return "".join(f"{line[5:]}\n" for line in said.splitlines() if line.startswith("   | "))


def test_a_dry_run_on_a_bare_machine_shows_all_steps(built: Built, make_stage: Make) -> None:
    """With packages that are named by a path relative to the folder of the call."""
    stage = make_stage(None)
    stage.env["PYTHON"] = str(built.empty)
    stage.env["PIP_FIND_LINKS"] = os.path.relpath(stage.env["PIP_FIND_LINKS"])
    said = stage.deploy(built.old, "--dry-run", "--domain", "example.org")
    assert "would write" in said
    assert "hosts:\n- example.org\n" in shown_file(said)
    for function in ("build_release", "run_current", "point current", "install -D"):
        assert function not in said
    assert stage.snapshot() == {}


def test_a_dry_run_shows_the_file_and_the_next_steps(built: Built, make_stage: Make) -> None:
    stage = make_stage(built.first)
    stage.config.unlink()
    stage.write("etc/ejabberd/ejabberd.cfg", OLD_CFG)
    said = stage.deploy(built.old, "--dry-run")
    to_do = [line for line in said.splitlines() if line.startswith("   to do: ")]
    assert "remove the tuples websocket_session and mod_websocket from /etc/ejabberd/ejabberd.cfg" in to_do[0]
    assert not stage.config.exists()
    really = stage.deploy(built.old)
    assert shown_file(said) == stage.config.read_text()
    assert [line for line in really.splitlines() if line.startswith("   to do: ")] == to_do


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("etc/wsgw/wsgw.yml", CONFIG.replace("port", "prt"), "wsgw.yml:"),
        ("etc/wsgw/wsgw.yml", CONFIG + "log_levle: debug\n", "log_levle"),
        ("etc/ejabberd/ejabberd.cfg", OLD_CFG.replace("5222", "70000"), "ejabberd.cfg:"),
        ("etc/ejabberd/ejabberd.yml", "hosts: [", "ejabberd.yml:"),
    ],
    ids=["listener", "top level", "old ejabberd", "modern ejabberd"],
)
def test_a_dry_run_fails_where_the_real_run_fails(
    built: Built, make_stage: Make, name: str, text: str, reason: str
) -> None:
    stage = make_stage(built.first)
    stage.config.unlink()
    stage.write(name, text)
    before = stage.snapshot()
    dry, real = (stage.deploy(built.old, *arguments, status=1) for arguments in (["--dry-run"], []))
    assert reason in dry
    assert dry == real
    assert stage.snapshot() == before


def test_an_obstacle_fails_both_runs(built: Built, make_stage: Make) -> None:
    stage = make_stage(None)
    stage.write("opt", "no folder")
    for arguments in ([], ["--dry-run"]):
        said = stage.deploy(built.old, "--domain", "example.org", *arguments, status=1)
        assert f"error: {stage.root}/opt is not a writable folder" in said


def test_the_new_release_checks_the_configuration_before_any_change(built: Built, make_stage: Make) -> None:
    stage = make_stage(built.first)
    stage.env["PYTHON"] = str(built.filled)
    stage.config.unlink()
    stage.write("etc/wsgw/wsgw.yml", CONFIG + "log_levle: debug\n")
    before = stage.snapshot()
    said = stage.deploy(built.new, status=1)
    assert "log_levle" in said
    assert "the running service is unchanged" in said
    assert stage.snapshot() == before


def test_the_last_lines_name_the_next_steps_for_a_stage(built: Built, make_stage: Make) -> None:
    stage = make_stage(built.both)
    back = stage.deploy(built.new, "--rollback")
    assert "systemctl enable --now wsgw\n" in back
    assert f"or, where {NEW}-" in back
    assert "--signal=USR2" in back
    sockets = stage.deploy(built.new, "--sockets")
    assert "systemctl enable --now wsgw.socket wsgw.service\n" in sockets


def test_old_releases_are_pruned_but_never_the_two_in_use(built: Built, make_stage: Make) -> None:
    stage = make_stage(built.both)
    for number in range(3):
        folder = stage.home / f"releases/0.0.{number}-abc"
        folder.mkdir()
        (folder / ".complete").touch()
        os.utime(folder, (number, number))
    stage.deploy(built.new, "--keep", "3")
    assert stage.versions() == ["0.0.2", OLD, NEW]
    os.utime(stage.home / "releases/0.0.2-abc")
    stage.deploy(built.new, "--keep", "1")
    assert stage.versions() == ["0.0.2", OLD, NEW]


def test_a_release_runs_its_own_modules_after_current_has_changed(built: Built, make_stage: Make) -> None:
    """Through the link, so that SIGUSR2 starts new code; from its own folder, so that old code stays old."""
    stage = make_stage(built.both)
    script = "import sys, wsgw; print(sys.executable); print(wsgw.__file__)"
    executable, module = stage.python("-c", script).stdout.split()
    assert executable == str(stage.home / "current/bin/python")
    assert "/current/" not in module
    assert f"/releases/{NEW}-" in module


def test_commands_of_a_staged_release_are_for_the_machine_it_will_be_on(
    built: Built, make_stage: Make
) -> None:
    stage = make_stage(built.first)
    release = (stage.home / "current").readlink()
    first_line = (stage.home / "current/bin/wsgw").read_text().splitlines()[0]
    assert first_line == f"#!/opt/wsgw/{release}/bin/python"


def test_a_release_that_pip_cannot_install_leaves_nothing(
    built: Built, make_stage: Make, tmp_path: Path
) -> None:
    stage = make_stage(built.first)
    before = stage.snapshot()
    stage.env["PYTHON"] = str(built.empty)
    stage.env["PIP_FIND_LINKS"] = str(tmp_path)
    assert "error: pip could not install the release" in stage.deploy(built.new, "--dry-run", status=1)
    said = stage.deploy(built.new, status=1)
    assert "error: pip could not install the release. Without a network" in said
    assert said.endswith("; the running service is unchanged\n")
    assert stage.snapshot() == before


def test_an_unfinished_release_is_pruned(built: Built, make_stage: Make) -> None:
    stage = make_stage(built.both)
    (stage.home / "releases/0.0.9-abc").mkdir()
    stage.deploy(built.new)
    assert stage.versions() == [OLD, NEW]


def test_a_second_deployment_waits_for_the_first(built: Built, make_stage: Make) -> None:
    stage = make_stage(built.first)
    with stage.home_locked():
        deploying = stage.start(built.old)
        said = iter(deploying.stdout or ())
        assert next(said) == "   waiting until another deployment ends\n"
    assert "nothing to do" in "".join(said)
    assert deploying.wait(60) == 0


def test_no_other_account_can_block_a_deployment(built: Built, make_stage: Make) -> None:
    """An account that may read a file or folder may lock it."""
    stage = make_stage(built.first)
    lock = stage.home / ".lock"
    assert lock.stat().st_mode & 0o777 == 0o700
    with ExitStack() as held:
        for path in (stage.root, *stage.root.rglob("*")):
            if path == lock or path.is_symlink() or len(path.relative_to(stage.root).parts) > 4:
                continue
            descriptor = os.open(path, os.O_RDONLY)
            held.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        said = stage.deploy(built.old)
    assert "waiting" not in said
    assert "nothing to do" in said


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--keep", "0"), "--keep needs a number of at least 1, not '0'"),
        (("--wait", "soon"), "--wait needs a number of at least 1, not 'soon'"),
        (("--keep",), "--keep needs a value"),
        (("--helpp",), "unknown option --helpp"),
        (("--python", "/bin/false"), "--python: /bin/false is not Python 3.10 or newer"),
    ],
    ids=["zero", "word", "missing", "unknown", "python"],
)
def test_wrong_arguments_are_an_error(
    built: Built, make_stage: Make, arguments: tuple[str, ...], reason: str
) -> None:
    stage = make_stage(None)
    said = stage.deploy(built.old, "--domain", "example.org", *arguments, status=1)
    assert f"error: {reason}" in said
    assert stage.snapshot() == {}


def test_a_deployment_without_any_configuration_is_an_error(built: Built, make_stage: Make) -> None:
    stage = make_stage(None)
    said = stage.deploy(built.old, status=1)
    assert "--domain NAME" in said
    assert stage.snapshot() == {}


@pytest.mark.parametrize(
    ("config", "mistake"),
    [
        (CONFIG.replace("port", "prt"), "wsgw.yml:3: "),
        (f"{CONFIG}log_levle: debug\n", "wsgw.yml:4: unknown option log_levle; did you mean log_level?"),
        (f"{CONFIG}max_sessions: 5\n", "wsgw.yml:4: max_sessions belongs in a websocket_session listener"),
    ],
)
def test_a_bad_configuration_stops_before_the_switch(
    built: Built, make_stage: Make, config: str, mistake: str
) -> None:
    stage = make_stage(built.both)
    stage.deploy(built.new, "--rollback")
    stage.config.unlink()
    stage.write("etc/wsgw/wsgw.yml", config)
    before = stage.snapshot()
    said = stage.deploy(built.new, status=1)
    assert mistake in said
    assert "the running service is unchanged" in said
    assert (stage.current(), stage.snapshot()) == (OLD, before)
