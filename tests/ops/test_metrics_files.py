"""The folder of the metrics files, with a worker that is hostile."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from wsgw.ops.metrics_files import MetricsFiles


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MetricsFiles:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return MetricsFiles()


@pytest.mark.root
def test_links_left_by_a_worker_are_not_followed(files: MetricsFiles, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ours.touch()
    (files.path / "figures").touch()
    (files.path / "link").symlink_to(ours)
    account = pwd.getpwnam("nobody")
    files.give_to(account)
    assert [path.lstat().st_uid for path in (files.path, *sorted(files.path.iterdir()))] == [
        account.pw_uid
    ] * 3
    assert ours.stat().st_uid == 0


@pytest.mark.root
def test_a_link_in_place_of_the_directory_is_not_followed(files: MetricsFiles, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    files.path.rmdir()
    files.path.symlink_to(ours)
    with pytest.raises(OSError):
        files.give_to(pwd.getpwnam("nobody"))
    assert ours.stat().st_uid == 0
