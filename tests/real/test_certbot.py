"""certbot writes the file of an HTTP-01 challenge as the page on certificates says; wsgw serves it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.test_clients import CLIENTS
from tests.support.certificates import Certificate
from tests.support.fixtures import missing
from tests.support.gateway import Gateway
from tests.support.processes import ROOT

#: Two listeners without a WebSocket, and no XMPP server.
CONFIG = """\
{{hosts, ["{domain}"]}}.
{{workers, 1}}.
{{acme_challenge_dir, %s}}.
{{listen, [
  {{{ws_port}, websocket_session, [{{ip, {{127,0,0,1}}}}]}},
  {{{wss_port}, websocket_session, [{{ip, {{127,0,0,1}}}}]}}
]}}.
"""
PYTHON = "/usr/bin/python3"
PAGE = (ROOT / "docs" / "certificates.md").read_text()


@pytest.fixture(scope="module")
def certbot() -> list[str]:
    """The command of the client; certbot is a Debian package of the system's Python."""
    found = subprocess.run([PYTHON, "-c", "import certbot"], capture_output=True, check=False)
    if found.returncode:
        missing("no python3-certbot")
    return [PYTHON, str(CLIENTS / "http01.py")]


@pytest.fixture
def webroot() -> Iterator[Path]:
    """The directory of ``certbot -w``, which any account may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def documented() -> tuple[str, str]:
    """The directories of ``acme_challenge_dir`` and of ``certbot -w`` in the recipe."""
    option, flag = re.search(r"acme_challenge_dir: (\S+)", PAGE), re.search(r"--webroot -w (\S+)", PAGE)
    assert option
    assert flag
    return option[1], flag[1]


@pytest.mark.rule("8555-8.3")
@pytest.mark.parametrize("is_made_before", [True, False])
def test_the_authority_verifies_the_file_of_certbot(
    certbot: list[str], webroot: Path, certificate: Certificate, tmp_path: Path, is_made_before: bool
) -> None:
    """The workers have another account than certbot, if the test runs as root."""
    option, flag = documented()
    assert option.startswith(flag + "/")
    folder = webroot / option.removeprefix(flag + "/")
    if is_made_before:
        folder.mkdir(parents=True, mode=0o755)
    config = CONFIG % json.dumps(str(folder))
    gateway = Gateway(tmp_path / "wsgw", certificate, 1, config=config, user="nobody").start()
    try:
        command = [*certbot, str(webroot), "localhost", str(gateway.ws_port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"during": True, "after": False}
        assert folder.exists() == is_made_before
        assert gateway.stop() == 0
    finally:
        gateway.close()
    log = gateway.log.read_text()
    assert ("is not a directory: certificate authorities get 404" in log) != is_made_before
    assert ("is not served: No such file or directory" in log) != is_made_before
