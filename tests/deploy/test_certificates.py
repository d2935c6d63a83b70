"""The deploy hook for certbot in docs/certificates.md."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from tests.support.certificates import Certificate, make_certificate
from tests.support.processes import ROOT
from wsgw.net.tls import browser_context


def hook() -> str:
    """The first shell script of the page."""
    page = (ROOT / "docs" / "certificates.md").read_text()
    return page.split("```sh run-by: tests/deploy/test_certificates.py\n", 1)[1].split("```", 1)[0]


def lineage(folder: Path, certificate: Certificate) -> Path:
    """A directory as certbot's live/NAME: links to the files of one issue."""
    live, archive = folder / "live" / "chat.example.org", folder / "archive"
    for directory in (live, archive):
        directory.mkdir(parents=True)
    for name, source in (("fullchain", certificate.chain), ("privkey", certificate.key)):
        (archive / f"{name}1.pem").write_bytes(source.read_bytes())
        (live / f"{name}.pem").symlink_to(archive / f"{name}1.pem")
    return live


def test_the_hook_installs_a_readable_copy_in_one_step(tmp_path: Path) -> None:
    live = lineage(tmp_path, make_certificate(tmp_path / "made", "chat.example.org"))
    installed = tmp_path / "installed"
    installed.mkdir()
    script = tmp_path / "hook"
    script.write_text(hook())
    script.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"],
        "RENEWED_LINEAGE": str(live),
        "WSGW_CERTIFICATES": str(installed),
        "WSGW_GROUP": str(os.getgid()),
    }
    pem = installed / "chat.example.org.pem"
    for _ in range(2):
        previous = pem.stat().st_ino if pem.exists() else None
        subprocess.run([script], env=environment, check=True)
        assert pem.stat().st_ino != previous, "written in place"
    assert list(installed.iterdir()) == [pem]
    assert stat.S_IMODE(pem.stat().st_mode) == 0o640
    browser_context([pem])
