"""Files that the account of the gateway cannot read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsgw.config import load
from wsgw.config.model import Config
from wsgw.config.source import Source
from wsgw.doctor import access
from wsgw.doctor.finding import Finding, Verdict
from wsgw.doctor.inquiry import Inquiry
from wsgw.net.port_holder import Holder

pytestmark = pytest.mark.root
#: An account without a name, and without groups.
ACCOUNT = 65533


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The configuration of a gateway of another account, in a directory that all may enter."""
    gateway = Holder(ACCOUNT, 812, ("python", "-m", "wsgw"))
    monkeypatch.setattr(access, "running_gateway", lambda _config: gateway)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = folder / "wsgw.yml"
        path.write_text(
            "hosts: [localhost]\nlisten:\n- {module: websocket_session, port: 5288, upstream: 'unix:/none'}\n"
        )
        path.chmod(0o644)
        yield path


def findings(config: Config) -> list[Finding]:
    return list(access.ACCESS.run(Inquiry((), Source(), config)))


def test_readable_files_are_no_finding(config: Path) -> None:
    assert findings(load(config)) == []


def test_a_file_that_the_account_cannot_read_is_a_fault(config: Path) -> None:
    config.chmod(0o640)
    (fault,) = findings(load(config))
    assert (fault.check, fault.verdict, fault.subject) == ("access.file", Verdict.FAILED, str(config))
    assert fault.what == (
        "the account 65533 cannot read it at the next reload: it belongs to root:root, mode 0640"
    )
    assert fault.fix.endswith("(chgrp, chmod g+r)")


def test_a_directory_that_the_account_cannot_enter_is_a_fault(config: Path) -> None:
    config.parent.chmod(0o700)
    assert len(findings(load(config))) == 1


def test_a_gateway_of_root_reads_all_files(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.chmod(0o600)
    monkeypatch.setattr(access, "running_gateway", lambda _config: Holder(0, 812))
    assert findings(load(config)) == []
