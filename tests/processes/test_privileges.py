"""Workers run under the account of the option ``user``."""

from __future__ import annotations

import os
import pwd
import signal
import ssl
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.processes.conftest import Start
from tests.support.certificates import Certificate
from tests.support.observe import PATIENCE
from tests.support.processes import ReservedPort, run_wsgw, wait_until
from tests.support.wire import OPENINGS, SECONDS, Browser, XmppServer, frame

pytestmark = pytest.mark.slow


def identities(pid: int) -> tuple[str, str, str]:
    """The users, groups and supplementary groups of a process, as /proc lists them."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return fields["Uid"].strip(), fields["Gid"].strip(), fields["Groups"].strip()


@pytest.mark.root
def test_workers_are_not_root(start: Start, certificate: Certificate) -> None:
    """Neither replaced workers, nor after a reload of keys that only root may read."""
    nobody = pwd.getpwnam("nobody")
    assert certificate.pem.stat().st_uid == 0
    certificate.pem.chmod(0o600)
    server = XmppServer()
    gateway = start(server.port, user="nobody")
    assert identities(gateway.child.pid)[0].split() == ["0"] * 4
    os.kill(gateway.workers[0], signal.SIGKILL)
    wait_until(lambda: gateway.child.text().count("killed by") == 1, PATIENCE, "the loss to be seen")
    wait_until(lambda: len(gateway.workers) == 2, PATIENCE, "another worker")
    gateway.child.signal(signal.SIGHUP)
    wait_until(lambda: gateway.child.text().count(" listens on ") == 4, PATIENCE, "a reload")
    for pid in gateway.workers:
        wait_until(lambda pid=pid: identities(pid)[0].split()[0] != "0", PATIENCE, "no root")  # type: ignore[misc]
        users, groups, supplementary = identities(pid)
        assert users.split() == [str(nobody.pw_uid)] * 4
        assert groups.split() == [str(nobody.pw_gid)] * 4
        assert "0" not in supplementary.split()
    browser = Browser(
        gateway.wss_port,
        context=ssl.create_default_context(cafile=certificate.ca),
        first=frame(OPENINGS["rfc7395"]),
    )
    server.accept_stream().close()
    browser.close()
    server.close()
    assert gateway.stop() == 0
    gateway.assert_clean_log({})


@pytest.mark.root
def test_workers_need_no_file_for_the_status_page(start: Start) -> None:
    """Wherever Python and wsgw are, also in a folder that only root may enter."""
    port = ReservedPort()
    gateway = start(
        1,
        user="nobody",
        asks=False,
        top_level=f"{{listen, [{{{port.number}, wsgw_admin, []}}]}}.\n",
    )
    gateway.child.signal(signal.SIGHUP)
    wait_until(lambda: gateway.child.text().count(" listens on ") == 4, PATIENCE, "a reload")
    with urlopen(f"http://127.0.0.1:{port.number}/status", timeout=SECONDS) as page:
        assert page.status == 200
    port.release()
    assert gateway.stop() == 0
    gateway.assert_clean_log({})


@pytest.mark.root
def test_an_account_that_does_not_exist_is_an_error() -> None:
    arguments = ("--domain", "localhost", "--upstream", "tcp://127.0.0.1:1")
    done = run_wsgw("--user", "no-such-account", "--listen", "127.0.0.1:0", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "user: there is no account no-such-account: set user to an existing account, or to root to keep "
        "the workers root\n"
    )
