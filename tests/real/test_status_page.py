"""The status page in Chromium: with and without scripts, with and without the token."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.ops.admin import PATIENCE
from tests.ops.conftest import starting
from tests.ops.test_session_pages import TOKEN, USERS, WITH_TOKEN, Sessions
from tests.real.conftest import ADDRESS
from tests.real.test_clients import CLIENTS, run_client
from tests.support.certificates import Certificate
from tests.support.network_namespaces import NetworkNamespace
from tests.support.processes import Child, wait_until
from tests.support.wire import XmppServer

#: For all scenes on a busy machine; they take about 15.
SECONDS = 120
SCENES = ("plots", "old", "hidden", "small", "plain", "sessions")
CONFIG = """\
hosts: [localhost]
listen:
  - {port: 5288, module: websocket_session, upstream: tcp://127.0.0.1:5222}
  - {port: 5289, ip: "%s", module: wsgw_admin, token: %s}
"""


@pytest.mark.timeout(180)
def test_the_status_page_in_a_browser(
    certificate: Certificate, xmpp_server: XmppServer, node: str, chromium: str, tmp_path: Path
) -> None:
    """Its policy is not violated, axe-core finds nothing, and it fits a phone."""
    with starting(certificate, tmp_path / "gateway") as begin:
        admin = begin(xmpp_server.port, admin=WITH_TOKEN, before="tests.ops.seeded_history:seed")
        sessions = Sessions(admin, xmpp_server)
        parameters: dict[str, object] = {
            "url": f"http://127.0.0.1:{admin.port}",
            "chromium": chromium,
            "token": TOKEN,
            "scenes": SCENES,
            "users": [{"jid": f"{user}@localhost/web", "address": address} for user, address in USERS],
        }
        steps = run_client([node, str(CLIENTS / "status.mjs")], tmp_path, parameters, SECONDS)
        sessions.close()
    assert {step["step"] for step in steps} == {*SCENES, "refreshed", "done"}


@pytest.mark.root
def test_the_login_from_another_machine(
    namespace: NetworkNamespace, node: str, chromium: str, tmp_path: Path
) -> None:
    """Without TLS a browser sends no Sec-Fetch-Site, and no Origin if the policy of the page forbids it."""
    config = tmp_path / "wsgw.yml"
    config.write_text(CONFIG % (ADDRESS, TOKEN))
    under = namespace.inside()
    argv = [*under, sys.executable, "-m", "wsgw", "--config", str(config), "--offline", "--user", "root"]
    gateway = Child(argv, tmp_path / "wsgw.log")
    try:
        wait_until(lambda: "listens on" in gateway.text(), PATIENCE, "the gateway")
        parameters: dict[str, object] = {
            "url": f"http://{ADDRESS}:5289",
            "chromium": chromium,
            "token": TOKEN,
            "scenes": ["remote"],
            "hosts": [ADDRESS],
        }
        steps = run_client([*under, node, str(CLIENTS / "status.mjs")], tmp_path, parameters, SECONDS)
        assert [step["step"] for step in steps] == ["remote", "done"]
    finally:
        gateway.kill()
